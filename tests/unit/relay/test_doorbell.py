"""A ring is heard by those who wait, and by those who come later."""

from __future__ import annotations

import threading
from datetime import timedelta

from cloudq.relay.doorbell import Doorbell
from cloudq.testing.clock import FakeClock

SECOND = timedelta(seconds=1)


def test_a_ring_wakes() -> None:
    """Who waits is woken by a ring, not by time that passes before its own is over."""
    clock = FakeClock()
    bell = Doorbell(clock)
    woken: list[bool] = []
    thread = threading.Thread(target=lambda: woken.append(bell.wait(0, 10 * SECOND)))
    thread.start()
    clock.until_waiting()
    clock.advance(SECOND)
    clock.until_waiting()
    bell.ring()
    thread.join(60)

    assert [True] == woken


def test_a_ring_before_the_wait() -> None:
    """A ring since the look for work isn't lost: there is no wait."""
    bell = Doorbell(FakeClock())
    heard = bell.rings
    bell.ring()

    assert bell.wait(heard, None)


def test_time_runs_out() -> None:
    """Without a ring it waits for as long as it was told."""
    clock = FakeClock()
    bell = Doorbell(clock)
    woken: list[bool] = []
    thread = threading.Thread(target=lambda: woken.append(bell.wait(0, SECOND)))
    thread.start()
    clock.until_waiting()
    clock.advance(SECOND)
    thread.join(60)

    assert [False] == woken
