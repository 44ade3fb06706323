"""Whether a queue is paused by a flag in the store, as a worker looks at it."""

from __future__ import annotations

import pytest

from cloudq import App
from cloudq.core.notes import Notes
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import QueuePaused, StoreUnavailable
from cloudq.flow.flags import Flags, pause_flag
from cloudq.stores.memory import MemoryStore
from cloudq.testing import FakeClock
from cloudq.worker.pausing import LOOK_EVERY, PauseWatch, watch_of


class Counting:
    """A store that counts how often it is asked, or is down."""

    def __init__(self, clock: FakeClock) -> None:
        self.store = MemoryStore(clock)
        self.looks = 0
        self.down = False

    @property
    def notes(self) -> Notes:
        self.looks += 1
        if self.down:
            raise StoreUnavailable("no answer")
        return self.store.notes

    def watch(self, clock: FakeClock) -> PauseWatch:
        """What watches its flag of the queue `q`."""
        return PauseWatch("q", lambda: self, clock)  # type: ignore[arg-type,return-value]  # notes are all that is used


def refuses(watch: PauseWatch) -> bool:
    try:
        watch()
    except QueuePaused:
        return True
    return False


def test_the_flag_is_looked_at_every_five_seconds() -> None:
    """However often a receive is tried."""
    clock = FakeClock()
    store = Counting(clock)
    watch = store.watch(clock)
    assert [False] * 3 == [refuses(watch) for _ in range(3)]
    assert 1 == store.looks
    Flags(store.store.notes).set(pause_flag("q"))
    assert not refuses(watch)
    clock.advance(LOOK_EVERY)
    assert refuses(watch)
    with pytest.raises(QueuePaused, match="queue 'q' is paused; hint: cloudq resume q"):
        watch()


def test_that_looks_fail_is_said_once_and_that_they_work_again(caplog: pytest.LogCaptureFixture) -> None:
    """Where no task has a key, nobody else asks the store, and so nobody else would tell that it is down."""
    caplog.set_level("INFO")
    clock = FakeClock()
    store = Counting(clock)
    watch = store.watch(clock)
    for down in (False, True, True, False, False):
        store.down = down
        refuses(watch)
        clock.advance(LOOK_EVERY)
    assert [
        "whether queue q is paused can't be read, so nothing changes: no answer",
        "whether queue q is paused can be read again",
    ] == caplog.messages


@pytest.mark.parametrize("paused", [True, False])
def test_a_store_that_is_down_changes_nothing(paused: bool) -> None:
    """What was last known holds."""
    clock = FakeClock()
    store = Counting(clock)
    if paused:
        Flags(store.store.notes).set(pause_flag("q"))
    watch = store.watch(clock)
    assert refuses(watch) is paused
    store.down = True
    clock.advance(LOOK_EVERY)
    assert refuses(watch) is paused


def test_nothing_is_watched_where_it_would_say_nothing() -> None:
    """A backend that pauses by itself, or no store."""
    clock = FakeClock()
    assert watch_of("q", MemoryDriver(), App("memory://").runtime.stores, clock) is None
    assert watch_of("q", object(), App("memory://", store="none").runtime.stores, clock) is None
    assert watch_of("q", object(), App("memory://").runtime.stores, clock) is not None
