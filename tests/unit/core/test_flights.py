"""The parts of a flight: entries that can't be cancelled, results for each of them, and the error of what waited."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.flights import Entry, Pilot, resolve, waited_too_long
from cloudq.errors import BackendUnavailable


def entries(count: int) -> list[Entry[int, str]]:
    return [Entry(number, 0, None, timedelta(0), None) for number in range(count)]


def test_an_entry_can_not_be_cancelled() -> None:
    """Cancelling a caller doesn't unsend: its item may be in a call."""
    (entry,) = entries(1)
    assert not entry.future.cancel()
    resolve([entry], ["stored"])
    assert "stored" == entry.future.result()


def test_each_entry_has_its_own_result() -> None:
    """In the order in which they flew; what was resolved before an interruption stays as it is."""
    batch = entries(3)
    batch[1].future.set_result("before")
    resolve(batch, ["a", "b", "c"])
    assert ["a", "before", "c"] == [entry.future.result() for entry in batch]


def test_each_entry_raises_an_error_of_its_own() -> None:
    """Threads that raise the same object at once would write each other's traceback."""
    error = BackendUnavailable("down")
    batch = entries(3)
    resolve(batch, error)
    errors = [entry.future.exception() for entry in batch]
    assert 3 == len({id(one) for one in errors})
    assert {(BackendUnavailable, "down")} == {(type(one), getattr(one, "message", "")) for one in errors}


def test_a_pilot_begins_with_nothing() -> None:
    """It flies nothing, and leaves nothing behind as too late; a flusher looks for more by itself."""
    pilot: Pilot[int, str] = Pilot()
    assert ([], [], False, False) == (pilot.batch, pilot.late, pilot.flies, pilot.stays)
    assert Pilot[int, str](stays=True).stays


@pytest.mark.parametrize(("longest", "said"), [(timedelta(seconds=7.5), "for 7.5 s"), (None, "for 0 s")])
def test_what_waited_for_too_long_says_for_how_long(longest: timedelta | None, said: str) -> None:
    """It wasn't sent, and may be sent again."""
    error = waited_too_long(longest)
    assert isinstance(error, BackendUnavailable)
    assert "not sent" in str(error)
    assert said in str(error)
