"""What a series keeps is taken once, by whoever takes it."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

from cloudq.core.owed_notes import OwedNotes
from cloudq.running.held import HeldLease
from cloudq.testing.clock import FakeClock
from cloudq.worker.series import Series
from tests.unit.worker.intakes import held


def test_it_says_since_when_it_keeps_something_and_when_it_is_full() -> None:
    """The moment is that of the first one; once it was emptied, of the first one after that."""
    clock = FakeClock()
    series = Series(clock)
    one, two, three = held(clock, 3)
    assert not series
    clock.advance(timedelta(seconds=1))
    series.keep(one, 2)
    clock.advance(timedelta(seconds=1))
    assert not series.full
    series.keep(two, 2)
    assert series
    assert (timedelta(seconds=1), True) == (series.since, series.full)
    assert [one, two] == series.take_all()
    assert (False, False, []) == (bool(series), series.full, series.take_all())
    series.keep(three, 2)
    assert (timedelta(seconds=2), False) == (series.since, series.full)


def test_what_is_emptied_meanwhile_is_taken_once() -> None:
    """By its own thread or by the lookout, and nothing is left behind."""
    clock = FakeClock()
    series = Series(clock)
    all_of_them = held(clock, 2000)
    taken: Counter[HeldLease] = Counter()
    done = threading.Event()

    def take() -> None:
        while not done.is_set():
            taken.update(series.take_all())

    taker = threading.Thread(target=take)
    taker.start()
    mine: Counter[HeldLease] = Counter()
    for number, one in enumerate(all_of_them):
        series.keep(one, 10)
        if not number % 7:
            mine.update(series.take_all())
    done.set()
    taker.join(60)
    mine.update(series.take_all())
    assert Counter(all_of_them) == taken + mine


def test_one_queue_is_taken_at_a_time() -> None:
    """That of the first; the others stay where any thread may take them, and are never missing meanwhile."""
    clock = FakeClock()
    series = Series(clock)
    of_a, of_b = held(clock, 3, "a"), held(clock, 3, "b")
    for pair in zip(of_a, of_b, strict=True):
        for one in pair:
            series.keep(one, 10)
    assert of_a == series.take_of_one_queue()
    assert series
    assert of_b == series.take_of_one_queue()
    assert [] == series.take_of_one_queue()


def test_it_says_what_its_run_owes_and_since_when_that_is_under_way() -> None:
    """Until its thread, or the lookout, says otherwise."""
    clock = FakeClock()
    series = Series(clock)
    assert series.owed is None
    clock.advance(timedelta(seconds=1))
    owed = OwedNotes()
    series.begin(owed)
    assert (owed, timedelta(seconds=1)) == (series.owed, series.began)
