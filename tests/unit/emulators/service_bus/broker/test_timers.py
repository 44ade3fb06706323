"""Timers: order, taking back, and that nothing is kept of what was taken back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cloudq.emulators.service_bus.broker.timers import Timers

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_what_is_due_is_done_in_order() -> None:
    """By time, and at the same time in the order asked for; what an action makes due is done, too."""
    timers, done = Timers(), []
    timers.at(START + SECOND, lambda: done.append("late"))
    timers.at(START, lambda: (done.append("first"), timers.at(START, lambda: done.append("made")))[0])
    timers.at(START, lambda: done.append("second"))
    timers.run_due(START)
    assert ["first", "second", "made"] == done
    assert START + SECOND == timers.next_due()


def test_cancelled_timers_do_nothing() -> None:
    """Taking back a timer twice, or one that has run, is no error."""
    timers, done = Timers(), []
    timer = timers.at(START, lambda: done.append("x"))
    timers.cancel(timer)
    timers.cancel(timer)
    timers.cancel(None)
    assert timers.next_due() is None
    ran = timers.at(START, lambda: done.append("y"))
    timers.run_due(START)
    timers.cancel(ran)
    assert (["y"], 0) == (done, len(timers))


def test_only_an_earlier_timer_is_a_change() -> None:
    """Whoever waits for the next one is told if it comes earlier."""
    timers, changes = Timers(), []
    timers.on_change = lambda: changes.append(timers.next_due())
    timers.at(START + SECOND, lambda: None)
    timers.at(START + 2 * SECOND, lambda: None)
    timers.at(START, lambda: None)
    assert [START + SECOND, START] == changes


def test_cancelled_timers_are_not_kept() -> None:
    """A hundred thousand that were taken back leave little behind."""
    timers = Timers()
    for number in range(100_000):
        timers.cancel(timers.at(START + number * SECOND, lambda: None))
    assert 0 == len(timers)
    assert len(timers._heap) < 3000
