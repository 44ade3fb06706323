"""The parts of a flight: entries, results for each of them, who is told, and the error of what waited."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import timedelta

import pytest

from cloudq.core.flights import Entry, Pilot, resolve, set_future, sort_anew, waited_too_long
from cloudq.errors import BackendUnavailable


def entries(count: int) -> list[Entry[int, str]]:
    return [Entry(number, 0, None) for number in range(count)]


def told(entry: Entry[int, str]) -> list[str]:
    """What follows the entry is told, each time."""
    heard: list[str] = []
    entry.then = lambda landed: heard.append(landed.result)
    return heard


def test_each_entry_has_its_own_result() -> None:
    """In the order in which they flew; what has landed before an interruption stays as it is, error or not."""
    batch = entries(3)
    resolve(batch[1:2], ["before"])
    resolve(batch, ["a", "b", "c"])
    resolve(batch, BackendUnavailable("interrupted"))
    assert ["a", "before", "c"] == [entry.result for entry in batch]
    assert [None] * 3 == [entry.error for entry in batch]
    assert all(entry.landed for entry in batch)


def test_each_entry_raises_an_error_of_its_own() -> None:
    """Threads that raise the same object at once would write each other's traceback."""
    error = BackendUnavailable("down")
    batch = entries(3)
    resolve(batch, error)
    errors = [entry.error for entry in batch]
    assert 3 == len({id(one) for one in errors})
    assert {(BackendUnavailable, "down")} == {(type(one), getattr(one, "message", "")) for one in errors}


def test_what_follows_an_entry_is_told_once() -> None:
    """Also where others of its batch were interrupted, so that all are gone through again."""
    (entry,) = entries(1)
    heard = told(entry)
    resolve([entry], ["stored"])
    resolve([entry], BackendUnavailable("interrupted"))
    assert ["stored"] == heard


def test_what_was_interrupted_is_told_again() -> None:
    """Else nobody would know: with what it has landed with, whatever is known of the others."""
    (entry,) = entries(1)
    heard: list[str] = []

    def interrupted_once(landed: Entry[int, str]) -> None:
        heard.append(landed.result)
        if len(heard) == 1:
            raise KeyboardInterrupt

    entry.then = interrupted_once
    with pytest.raises(KeyboardInterrupt):
        resolve([entry], ["stored"])
    resolve([entry], BackendUnavailable("interrupted"))
    assert ["stored", "stored"] == heard
    assert entry.then is None


def test_what_fails_at_being_told_keeps_nobody_from_it(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the others of its batch are told."""
    first, second = entries(2)
    first.then = lambda _: 1 // 0
    heard = told(second)
    resolve([first, second], ["a", "b"])
    assert ["b"] == heard
    assert ["what follows a call has failed"] == [record.message for record in caplog.records]


@pytest.mark.parametrize("outcome", [["stored"], BackendUnavailable("down")])
def test_a_future_is_set_once(outcome: list[str] | Exception) -> None:
    """Being told a second time, after an interruption, changes nothing and raises nothing."""
    (entry,) = entries(1)
    resolve([entry], outcome)
    future: Future[str] = Future()
    set_future(future, entry)
    set_future(future, entry)
    assert entry.error is future.exception(0)
    assert isinstance(outcome, Exception) or outcome == [future.result(0)]


def test_what_is_left_is_sorted_anew() -> None:
    """After an interruption: what flies isn't touched, of each key one may fly, and what has landed is forgotten."""
    flying, behind, free, landed, first, second = (
        Entry[int, str](number, 0, key) for number, key in enumerate(("k", "k", None, None, "j", "j"))
    )
    pilot: Pilot[int, str] = Pilot()
    pilot.batch.append(flying)
    resolve([landed], ["stored"])
    left, waiting, later = sort_anew([flying, behind, free, landed, first, second], {pilot})
    assert [flying, behind, free, first, second] == list(left)
    assert [free, first] == list(waiting)
    assert {"k": [behind], "j": [second]} == {key: list(entries) for key, entries in later.items()}


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


def test_what_ends_being_told_again_and_again_keeps_nobody_from_it(caplog: pytest.LogCaptureFixture) -> None:
    """A `then` that always exits is interrupted once; after that it is logged, and the others are told."""

    def leave(_: object) -> None:
        raise SystemExit

    first, second = entries(2)
    first.then = leave
    heard = told(second)
    with pytest.raises(SystemExit):
        resolve([first, second], ["a", "b"])
    second.result, second.landed = "b", True
    resolve([first, second], BackendUnavailable("interrupted"), again=True)
    assert ["b"] == heard
    assert first.then is None
    assert ["what follows a call has failed"] == [record.message for record in caplog.records]
