"""What is kept of a task, in a store's notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cloudq.core.notes import LARGEST_NOTE, NoteWrite
from cloudq.core.owed_notes import OWED, OwedNote, OwedNotes
from cloudq.errors import BackendError, StoreUnavailable, TimeLimitExceeded
from cloudq.integrations.django.results import FAILED, READY, SUCCESSFUL, Kept, KeptError, KeptResults, workers
from cloudq.testing import in_memory
from tests.unit.core.limit_for_tests import limited

NO_TIME = timedelta(0)
FRESH = Kept(task="a.b", queue="default", backend="default", args=[1])


@pytest.fixture
def notes() -> Any:
    """The notes of a store in memory."""
    from cloudq import App

    app = App("memory://")
    with in_memory(app):
        yield app.runtime.results.store("results").notes


@pytest.fixture
def kept(notes: Any) -> KeptResults:
    """Over these."""
    return KeptResults(lambda: notes, timedelta(days=1))


def test_what_is_added_is_seen_until_it_has_ended(kept: KeptResults) -> None:
    """Each step by the version of the one before."""
    assert kept.look("1") is None
    kept.add([("1", FRESH, NO_TIME)])
    known, version = kept.known("1", FRESH)
    assert FRESH == known == kept.look("1")
    assert kept.end("1", Kept(task="a.b", queue="q", backend="b", status=SUCCESSFUL, value=[1]), after=version)
    ended = kept.look("1")
    assert ended is not None
    assert (SUCCESSFUL, [1]) == (ended.status, ended.value)


@pytest.mark.parametrize(
    ("call", "ask"),
    [
        ("read", lambda kept: kept.known("1", FRESH)),
        ("write", lambda kept: kept.add([("1", FRESH, NO_TIME)])),
        ("write_together", lambda kept: kept.add([("1", FRESH, NO_TIME), ("2", FRESH, NO_TIME)])),
    ],
    ids=["known", "add", "add several"],
)
def test_a_time_limit_that_strikes_while_the_store_is_asked_is_raised_after_it(
    kept: KeptResults, notes: Any, call: str, ask: Callable[[KeptResults], object]
) -> None:
    """It is no failure of the store, and the task isn't to go on without a limit."""
    with limited() as limit, pytest.MonkeyPatch.context() as patch:
        patch.setattr(notes, call, limit.over_in(getattr(notes, call)))
        with pytest.raises(TimeLimitExceeded):
            ask(kept)
    assert (kept.look("1") == FRESH) is (call != "read")


@pytest.mark.parametrize("count", [1, 2, 250])
def test_many_sends_are_noted_by_few_writes_that_a_loss_of_power_may_take(
    kept: KeptResults, notes: Any, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """The messages are there all the same; so only how an attempt ended has to be flushed to a disk."""
    writes: list[NoteWrite] = []
    calls: list[int] = []
    write, write_together = notes.write, notes.write_together

    def one(name: str, text: bytes, **options: Any) -> Any:
        writes.append(NoteWrite(name=name, text=text, **options))
        calls.append(1)
        return write(name, text, **options)

    def several(some: Sequence[NoteWrite]) -> Any:
        writes.extend(some)
        calls.append(len(some))
        return write_together(some)

    monkeypatch.setattr(notes, "write", one)
    monkeypatch.setattr(notes, "write_together", several)
    kept.add([(str(number), FRESH, timedelta(hours=number)) for number in range(count)])
    assert {1: [1], 2: [2], 250: [100, 100, 50]}[count] == calls
    assert {(0, False)} == {(one.after, one.durable) for one in writes}
    assert [timedelta(days=1, hours=number) for number in range(count)] == [one.keep for one in writes]
    assert FRESH == kept.look(str(count - 1))


def test_a_worker_that_is_faster_than_the_sender_is_not_overwritten(kept: KeptResults) -> None:
    """What it noted is later, and keeps no other send from being noted."""
    kept.end("1", replace(FRESH, status=SUCCESSFUL), after=0)
    kept.add([("1", FRESH, NO_TIME), ("2", FRESH, NO_TIME)])
    first, second = kept.look("1"), kept.look("2")
    assert first is not None
    assert second is not None
    assert (SUCCESSFUL, READY) == (first.status, second.status)


def test_what_was_overtaken_notes_nothing(kept: KeptResults) -> None:
    """Somebody has noted something since its version was read."""
    kept.add([("1", FRESH, NO_TIME)])
    _, version = kept.known("1", FRESH)
    assert kept.end("1", replace(FRESH, status=SUCCESSFUL), after=version)
    assert 0 == kept.end("1", replace(FRESH, status=FAILED), after=version)
    seen = kept.look("1")
    assert seen is not None
    assert SUCCESSFUL == seen.status


def test_what_is_too_large_is_known_without_its_values(kept: KeptResults) -> None:
    """A note is bounded; its status is what matters most."""
    large = Kept(task="a.b", queue="q", backend="b", status=SUCCESSFUL, value="x" * LARGEST_NOTE, errors=[])
    assert kept.end("1", large, after=0)
    seen = kept.look("1")
    assert seen is not None
    assert (SUCCESSFUL, None) == (seen.status, seen.value)


def test_errors_are_bounded(kept: KeptResults) -> None:
    """The latest are kept: a policy may allow any number of attempts."""
    errors = [KeptError(f"a.E{number}", "") for number in range(30)]
    kept.end("1", Kept(task="a.b", queue="q", backend="b", status=READY, errors=errors), after=0)
    seen = kept.look("1")
    assert seen is not None
    assert (20, "a.E29") == (len(seen.errors), seen.errors[-1].kind)


@pytest.mark.parametrize("together", [False, True])
def test_a_store_that_fails_ends_no_send(caplog: pytest.LogCaptureFixture, together: bool) -> None:
    """The message is stored; who looks a result up learns it. Each that isn't noted is named, and none known."""

    class Down:
        def read(self, name: str) -> None:
            raise StoreUnavailable("down")

        def write(self, *_: object, **__: object) -> None:
            raise StoreUnavailable("down")

    class DownTogether(Down):
        def write_together(self, _: object) -> None:
            raise StoreUnavailable("down")

    down = DownTogether() if together else Down()
    kept = KeptResults(lambda: down, timedelta(days=1))  # type: ignore[arg-type,return-value]  # sweeping has no part in it
    kept.add([("1", FRESH, NO_TIME), ("2", FRESH, NO_TIME)])
    assert [f"what became of {id_} couldn't be noted: down" for id_ in "12"] == [
        record.getMessage() for record in caplog.records
    ]
    assert (FRESH, 0) == kept.known("1", FRESH)
    assert 0 == kept.end("1", FRESH, after=0)
    with pytest.raises(StoreUnavailable):
        kept.look("1")


def test_what_the_run_owes_is_noted_before_somebody_looks(kept: KeptResults, notes: Any) -> None:
    """In its own context: its receivers, its middleware, and who dead-letters it."""
    owed = OwedNotes()
    write = kept.write_of("1", replace(FRESH, status=SUCCESSFUL), after=0)
    token = OWED.set(owed)
    try:
        for look in (lambda: kept.look("1"), lambda: kept.known("1", FRESH).kept):
            owed.end(OwedNote(notes, write, lambda _: None))
            seen = look()
            assert seen is not None
            assert SUCCESSFUL == seen.status
            assert not owed
    finally:
        OWED.reset(token)


def test_what_another_version_wrote(notes: Any, kept: KeptResults) -> None:
    """Is an error of the store's, and no crash."""
    notes.write("django:1", b"[]", after=0, keep=timedelta(days=1))
    with pytest.raises(BackendError, match="can't be read"):
        kept.look("1")


def test_there_is_a_worker_for_each_attempt() -> None:
    """Django counts attempts by them."""
    assert ["w"] == workers([], "w", 1)
    assert ["a", "w"] == workers(["a"], "w", 2)
    assert ["unknown", "unknown", "w"] == workers([], "w", 3)
    assert ["w"] == workers(["a", "b"], "w", 1)  # it was redriven, and begins anew


def test_of_very_many_attempts_the_latest_workers_are_kept() -> None:
    """A message says how many there were, in a few digits, and anybody may have written it."""
    told = workers(["a", "b"], "w", 2**31)
    assert (1_000, ["a", "b", "unknown"], "w") == (len(told), told[:3], told[-1])
    assert [*told[1:], "x"] == workers(told, "x", 2**31 + 1)
