"""An event that makes its lock only once somebody waits: in all else it is the standard library's."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cloudq.core.lazy_event import LazyEvent

PATIENCE = 60
EVENTS = [threading.Event, LazyEvent]


@pytest.mark.parametrize("kind", EVENTS)
def test_it_is_set_and_cleared(kind: type[threading.Event]) -> None:
    """As often as one likes; what it is at the moment can be asked, and is what a wait without time says."""
    event = kind()
    assert isinstance(event, threading.Event)
    for _ in range(2):
        assert (False, False) == (event.is_set(), event.wait(0))
        event.set()
        event.set()
        assert (True, True, True) == (event.is_set(), event.wait(0), event.wait())
        event.clear()


@pytest.mark.parametrize("kind", EVENTS)
def test_setting_it_wakes_all_that_wait(kind: type[threading.Event], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is set once all of them wait, in a condition whose lock they leave to the one that sets it."""
    waiting = threading.Semaphore(0)

    class Noted(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            waiting.release()
            return super().wait(timeout)

    with ThreadPoolExecutor(4) as threads:
        for _ in range(20):
            with monkeypatch.context() as patch:
                patch.setattr(threading, "Condition", Noted)
                event = kind()
                waits = [threads.submit(event.wait, PATIENCE) for _ in range(4)]
                assert all(waiting.acquire(timeout=PATIENCE) for _ in waits)
            event.set()
            assert [True] * 4 == [wait.result(2 * PATIENCE) for wait in waits]


@pytest.mark.parametrize("kind", EVENTS)
def test_a_wait_ends_when_its_time_is_up(kind: type[threading.Event]) -> None:
    """It then says that the event wasn't set."""
    event = kind()
    assert not event.wait(0.01)
    assert not event.wait(timeout=0.01)


def test_it_has_no_lock_until_somebody_waits() -> None:
    """That is what it is for: a worker makes one for each delivery."""
    event = LazyEvent()
    event.set()
    assert event.wait(1)
    assert {"_happened": True} == vars(event)


def test_it_says_whether_it_is_set() -> None:
    """For those who log it."""
    event = LazyEvent()
    assert "<LazyEvent: unset>" == repr(event)
    event.set()
    assert "<LazyEvent: set>" == repr(event)
