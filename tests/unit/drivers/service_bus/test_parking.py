"""What is held for a retry is given back when it is due, with its lock kept until then."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from cloudq.drivers.service_bus import dispositions
from cloudq.drivers.service_bus.parking import LOOK, Parking
from cloudq.drivers.service_bus.receipts import Receipt
from cloudq.testing.clock import FakeClock
from tests.integration.processes import wait_until

LOCK = timedelta(seconds=60)


class Holder:
    """Keeps what it is told."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.steps: list[Any] = []
        self.renewed = threading.Event()
        self.settled = threading.Event()
        self.renewals = 0
        self.broken = False

    def watch(self, message, lost):
        pass

    def settle(self, steps):
        if self.broken:
            raise RuntimeError("broken")
        self.steps += steps
        self.settled.set()
        return [None] * len(steps)

    def renew(self, messages) -> list[timedelta | BaseException]:
        self.renewals += 1
        self.renewed.set()
        if self.broken:
            raise RuntimeError("broken")
        return [self._clock.elapsed() + LOCK] * len(messages)


def parked(delay: timedelta) -> tuple[FakeClock, Holder, Parking]:
    clock = FakeClock()
    holder, parking = Holder(clock), Parking(clock)
    message: Any = "a message"
    parking.park(Receipt(holder, message), delay, clock.elapsed() + LOCK, dispositions.ABANDON)
    return clock, holder, parking


def test_a_parked_message_is_given_back_when_it_is_due() -> None:
    """Not before its time, and then with its delivery counted."""
    clock, holder, parking = parked(timedelta(seconds=30))
    clock.advance(timedelta(seconds=29))
    assert not holder.settled.wait(0.2)
    clock.advance(timedelta(seconds=2))
    assert holder.settled.wait(60)
    assert holder.steps == [("a message", dispositions.ABANDON)]
    parking.close()


def test_a_parked_messages_lock_is_renewed() -> None:
    """A lock that would end before the message is due is kept."""
    clock, holder, parking = parked(timedelta(seconds=90))
    assert not holder.renewed.wait(0.2)
    clock.advance(timedelta(seconds=50))
    assert holder.renewed.wait(60)
    parking.close()


def test_without_a_thread_nothing_is_held_until_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks gives it back at once; one thread that was refused costs later messages nothing."""

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    clock = FakeClock()
    holder, parking = Holder(clock), Parking(clock)
    message: Any = "a message"

    def park() -> bool:
        receipt = Receipt(holder, message)
        return parking.park(receipt, timedelta(seconds=30), clock.elapsed() + LOCK, dispositions.ABANDON)

    with monkeypatch.context() as no_thread:
        no_thread.setattr(threading.Thread, "start", refused)
        assert (park(), parking.held) == (False, 0)
        parking.close()  # nothing to wait for
    parking = Parking(clock)
    with monkeypatch.context() as no_thread:
        no_thread.setattr(threading.Thread, "start", refused)
        assert not park()
    assert (park(), parking.held) == (True, 1)
    parking.close()
    assert holder.steps == [("a message", dispositions.ABANDON)]
    assert not park()  # nobody would give it back any more


def test_closing_gives_everything_back() -> None:
    """Another worker may have it at once."""
    _, holder, parking = parked(timedelta(hours=1))
    parking.close()
    assert holder.steps == [("a message", dispositions.ABANDON)]


def test_a_link_that_breaks_costs_the_others_nothing() -> None:
    """What raises is left to its lock's end; whatever is held beside it is given back when it is due."""
    clock = FakeClock()
    broken, sound, parking = Holder(clock), Holder(clock), Parking(clock)
    broken.broken = True
    message: Any = "a message"
    parking.park(Receipt(broken, message), timedelta(seconds=10), clock.elapsed() + LOCK, dispositions.ABANDON)
    parking.park(Receipt(sound, message), timedelta(seconds=20), clock.elapsed() + LOCK, dispositions.ABANDON)
    clock.advance(timedelta(seconds=11))
    wait_until(lambda: parking.held == 1, within=60, what="the first is given up")
    clock.advance(timedelta(seconds=10))
    assert sound.settled.wait(60)
    parking.close()


def test_a_lock_that_can_not_be_renewed_is_not_tried_at_every_look() -> None:
    """A lost lock costs a call a second, not twenty."""
    clock, holder, parking = parked(timedelta(seconds=90))
    holder.broken = True
    clock.advance(timedelta(seconds=40))
    assert holder.renewed.wait(60)
    for _ in range(5):
        clock.advance(timedelta(milliseconds=100))
        time.sleep(2 * LOOK.total_seconds())
    assert holder.renewals == 1
    # The second may count from a later moment than the failure's: the thread looks at the clock when it gets to it.
    step = timedelta(milliseconds=100)
    wait_until(lambda: holder.renewals > 1 or bool(clock.advance(step)), within=60, what="it is tried again")
    holder.broken = False
    parking.close()
