"""Time limits in a main thread, by a timer signal."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from cloudq.errors import TimeLimitExceeded
from cloudq.running.alarm_time_limit import AlarmTimeLimit
from cloudq.running.limit_stages import insist, warned_after
from tests.unit.running.test_limit_stages import FAR, SOON, spin


@pytest.fixture
def alarm() -> Iterator[AlarmTimeLimit]:
    before = signal.getsignal(signal.SIGALRM)
    yield AlarmTimeLimit()
    signal.signal(signal.SIGALRM, before)


def test_an_alarm_interrupts_a_blocking_call(alarm: AlarmTimeLimit) -> None:
    """In a main thread a call that blocks in C is interrupted, too."""
    began = time.monotonic()
    with pytest.raises(TimeLimitExceeded), alarm(SOON):
        time.sleep(60)
    assert time.monotonic() - began < 30
    with alarm(FAR):
        pass
    assert (0.0, 0.0) == signal.getitimer(signal.ITIMER_REAL)


def test_both_stages_interrupt_a_blocking_call(alarm: AlarmTimeLimit) -> None:
    """The process's one timer is set for the one, and then for the other."""
    began = time.monotonic()

    def handler() -> None:
        insist(FAR)
        with pytest.raises(TimeLimitExceeded, match="soft"), warned_after(SOON):
            time.sleep(60)
        time.sleep(60)

    with pytest.raises(TimeLimitExceeded, match="than its time limit"), alarm(timedelta(milliseconds=200)):
        handler()
    assert time.monotonic() - began < 30


def test_a_signal_for_a_block_that_has_ended_is_not_taken_for_the_end(alarm: AlarmTimeLimit) -> None:
    """It was caught while the block was left, and is seen only then."""
    with alarm(FAR):
        insist(FAR)
        with warned_after(FAR):
            pass
        signal.raise_signal(signal.SIGALRM)
        spin(0.01)
    signal.raise_signal(signal.SIGALRM)  # nor one that comes after the run
