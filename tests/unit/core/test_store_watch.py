"""StoreWatch: a store that is down is asked by few, and found again soon after it is back."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from cloudq.core.store_watch import LONGEST_PAUSE, StoreWatch
from cloudq.testing.clock import FakeClock

SECOND = timedelta(seconds=1)


class Store:
    def __init__(self) -> None:
        self.up = False
        self.asked = 0

    def reachable(self) -> bool:
        self.asked += 1
        return self.up


def test_a_store_is_taken_to_be_up_until_a_call_fails() -> None:
    """And nobody asks it for nothing."""
    store = Store()
    watch = StoreWatch(store.reachable, FakeClock())
    assert (watch.is_down, watch.why, watch.may_ask(), watch.look()) == (False, None, True, True)
    assert not store.asked


def test_while_it_is_down_it_is_asked_once_a_pause_which_grows() -> None:
    """From one second to fifteen: soon enough to be found again, and no flood on a store that just came back."""
    clock, store = FakeClock(), Store()
    watch = StoreWatch(store.reachable, clock)
    watch.note_down("no route")
    asked = []
    for second in range(1, 91):
        clock.advance(SECOND)
        before = store.asked
        watch.look()
        if store.asked > before:
            asked.append(second)
    assert asked == [1, 3, 7, 15, 30, 45, 60, 75, 90]


def test_it_is_up_again_once_it_answers() -> None:
    """Whoever asked: a look, or a claim."""
    clock, store = FakeClock(), Store()
    watch = StoreWatch(store.reachable, clock)
    watch.note_down("no route")
    assert not watch.look()
    clock.advance(SECOND)
    store.up = True
    assert watch.look()
    assert not watch.is_down
    watch.note_down("again")
    watch.note_up()
    assert watch.may_ask()


def test_of_many_who_ask_at_once_one_may() -> None:
    """And the next only after a pause, should its answer never come: the store hangs."""
    clock = FakeClock()
    watch = StoreWatch(lambda: False, clock)
    watch.note_down("it hangs")
    clock.advance(SECOND)
    assert [watch.may_ask() for _ in range(3)] == [True, False, False]
    clock.advance(LONGEST_PAUSE)
    assert [watch.may_ask() for _ in range(3)] == [True, False, False]


def test_a_store_whose_package_raises_is_down() -> None:
    """Whatever it raises."""

    def broken() -> bool:
        raise RuntimeError("a driver's package")

    clock = FakeClock()
    watch = StoreWatch(broken, clock)
    watch.note_down("no route")
    clock.advance(SECOND)
    assert not watch.look()
    assert watch.why == "no route"


def test_its_going_and_its_coming_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Not for each delivery that needs it."""
    clock = FakeClock()
    watch = StoreWatch(lambda: True, clock)
    with caplog.at_level(logging.INFO, "cloudq"):
        watch.note_up()
        watch.note_down("no route")
        clock.advance(SECOND)
        watch.note_down("no route")
        watch.note_up()
        watch.note_up()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert "no route" in caplog.text
    assert "after 1 s" in caplog.text


def test_how_long_it_was_down_since_then_is_remembered() -> None:
    """A message that lay in its queue meanwhile has no note of that beside it."""
    clock = FakeClock()
    watch = StoreWatch(lambda: True, clock)
    began = clock.now()
    for _ in range(2):
        clock.advance(10 * SECOND)
        watch.note_down("no route")
        clock.advance(30 * SECOND)
        watch.note_up()
    clock.advance(10 * SECOND)
    assert watch.lasted_since(began) == 60 * SECOND
    assert watch.lasted_since(began + 25 * SECOND) == 45 * SECOND
    assert watch.lasted_since(clock.now()) == timedelta(0)
