"""The store conformance kit catches stores that break the contract: each is wrong in one way, and a behaviour says so.

First each cell of the table of a claim's life is given another answer; then come the faults that no table has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cloudq.core.claim_life import TABLE, Call, Does, Seen
from cloudq.core.notes import Note, NoteWrite, Written
from cloudq.core.store import Claim, Claimed, ClaimKey, Forgotten, Record, RecordState, Store
from cloudq.stores.memory import MemoryStore
from cloudq.stores.memory import store as memory
from cloudq.stores.memory.notes import MemoryNotes
from cloudq.testing.clock import FakeClock
from cloudq.testing.stores import StoreConformance, StoreHarness
from cloudq.testing.stores.bench import StoreBench
from cloudq.testing.stores.limiting import Limiting

Made = Callable[[FakeClock], MemoryStore]
MICROSECOND = timedelta(microseconds=1)


class Harness(StoreHarness):
    """One store for all who open the same namespace, or any, if namespaces aren't kept apart."""

    def __init__(self, made: Made, *, apart: bool = True) -> None:
        self.clock = FakeClock()
        self.made = made
        self.apart = apart
        self.stores: dict[str, MemoryStore] = {}

    def open(self, namespace: str = "kit") -> Store:
        name = namespace if self.apart else ""
        if name not in self.stores:
            self.stores[name] = self.made(self.clock)
        return self.stores[name]

    def advance(self, delta: timedelta) -> None:
        self.clock.advance(delta)


def behaviours() -> Iterator[tuple[str, Callable[[StoreBench], None]]]:
    """The kit's tests, each as a call, with the arguments that they are run with."""
    for name in sorted(dir(StoreConformance)):
        method = getattr(StoreConformance, name)
        if not name.startswith("test_"):
            continue
        marks = [mark for mark in getattr(method, "pytestmark", []) if mark.name == "parametrize"]
        assert len(marks) <= 1, "this runner knows one list of arguments"
        values = [{marks[0].args[0]: value} for value in marks[0].args[1]] if marks else [{}]
        for value in values:
            yield name, lambda bench, method=method, value=value: method(None, bench, **value)


def caught(made: Made = MemoryStore, *, apart: bool = True) -> set[str]:
    """The behaviours that fail with such a store."""
    failed = set()
    for name, behaviour in behaviours():
        bench = StoreBench(Harness(made, apart=apart))
        try:
            behaviour(bench)
        except Exception:
            failed.add(name)
        bench.close()
    return failed


def test_a_right_store_passes() -> None:
    """Else nothing below would mean anything."""
    assert caught() == set()


# What can't be seen by this call, or comes to the same by another way.
OWN = [Seen.OWN, Seen.OWN_RELEASED, Seen.OWN_COMPLETED]
ALIKE = {
    # A claim knows its caller by the owner's name, which a released record doesn't keep.
    (Call.CLAIM, Seen.OWN_RELEASED, Does.EXTENDS),
    (Call.CLAIM, Seen.OWN_RELEASED, Does.REFUSES),
    # What an operator does has no token and no owner.
    *((call, seen, does) for call in (Call.FORGET, Call.FORGET_LIVE) for seen in OWN for does in Does),
    # What is released already is left as it is either way.
    (Call.RELEASE, Seen.OWN_RELEASED, Does.RELEASES),
    # Where nothing is, there is nothing to extend.
    (Call.CLAIM, Seen.NOTHING, Does.EXTENDS),
}  # fmt: skip
ANSWERS: Mapping[Call, tuple[Does, ...]] = {
    Call.CLAIM: (Does.TAKES, Does.EXTENDS, Does.REFUSES),
    Call.RENEW: (Does.EXTENDS, Does.REFUSES),
    Call.COMPLETE: (Does.COMPLETES, Does.AGREES, Does.REFUSES),
    Call.RELEASE: (Does.RELEASES, Does.AGREES, Does.REFUSES),
    Call.FORGET: (Does.REMOVES, Does.AGREES, Does.REFUSES),
    Call.FORGET_LIVE: (Does.REMOVES, Does.AGREES, Does.REFUSES),
}
CHANGES = {
    (call, seen, does)
    for call, answers in ANSWERS.items()
    for seen in Seen
    for does in answers
    if does is not TABLE[call][seen] and (call, seen, does) not in ALIKE
}


@pytest.mark.parametrize(
    ("call", "seen", "does"),
    sorted(CHANGES, key=lambda change: tuple(part.name for part in change)),
    ids=lambda part: part.name,
)
def test_another_answer_in_the_table_is_caught(
    call: Call, seen: Seen, does: Does, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever cell it is in."""
    monkeypatch.setattr(memory, "TABLE", TABLE | {call: {**TABLE[call], seen: does}})
    assert caught()


class TokensBeginAnew(MemoryStore):
    """Counts, whatever the time: after a record is gone it begins again."""

    def claim(self, key: ClaimKey, **arguments: Any) -> Claim:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(memory, "next_token", lambda last, now: last + 1)
            return super().claim(key, **arguments)


class TokensOfTheTimeOnly(MemoryStore):
    """Two claims within a moment have one token."""

    def claim(self, key: ClaimKey, **arguments: Any) -> Claim:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(memory, "next_token", lambda last, now: now // 10**12)
            return super().claim(key, **arguments)


class NotInOneStep(MemoryStore):
    """Looks first, and takes later: others come in between."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self._lock = nullcontext()  # type: ignore[assignment]

    def _seen(self, *arguments: Any, **named: Any) -> Seen:
        from time import sleep

        seen = super()._seen(*arguments, **named)
        sleep(0.002)  # as long as a look over the network takes
        return seen


class ForgetsFingerprints(MemoryStore):
    def claim(self, key: ClaimKey, **arguments: Any) -> Claim:
        return super().claim(key, **{**arguments, "fingerprint": None})


class ForgetsResults(MemoryStore):
    def complete(self, key: ClaimKey, token: int, *, result: bytes | None, keep: timedelta) -> bool:
        return super().complete(key, token, result=None, keep=keep)


class TakesAnEmptyResultForNone(MemoryStore):
    def complete(self, key: ClaimKey, token: int, *, result: bytes | None, keep: timedelta) -> bool:
        return super().complete(key, token, result=result or None, keep=keep)


class IgnoresKeep(MemoryStore):
    def complete(self, key: ClaimKey, token: int, *, result: bytes | None, keep: timedelta) -> bool:
        return super().complete(key, token, result=result, keep=timedelta(days=999))


class RenewalsShorten(MemoryStore):
    def _extend(self, key: ClaimKey, kept: Any, ends: timedelta) -> None:
        self._records[key] = kept._replace(until=ends)


class RenewalsOnlyAgree(MemoryStore):
    def _extend(self, key: ClaimKey, kept: Any, ends: timedelta) -> None: ...


class SweepsAll(MemoryStore):
    def sweep(self, limit: int) -> int:
        return super().sweep(10**6)


class SweepsWhatIsKept(MemoryStore):
    def sweep(self, limit: int) -> int:
        count = min(limit, len(self._records))
        for key in list(self._records)[:count]:
            del self._records[key]
        return count


class SweepsNothing(MemoryStore):
    def sweep(self, limit: int) -> int:
        return 0


class ShowsALapsedClaimAsHeld(MemoryStore):
    def show(self, key: ClaimKey) -> Record | None:
        record = super().show(key)
        if record is None or record.until is None:
            return record
        return replace(record, state=RecordState.IN_PROGRESS)


class ReleasesKeepTheOwner(MemoryStore):
    def release(self, key: ClaimKey, token: int) -> bool:
        before = self._records.get(key)
        done = super().release(key, token)
        if done and before is not None and before.owner:
            self._records[key] = self._records[key]._replace(owner=before.owner, fingerprint=before.fingerprint)
        return done


class ForgetsLoudly(MemoryStore):
    def forget(self, key: ClaimKey, *, force: bool = False) -> Forgotten:
        super().forget(key, force=force)
        return Forgotten.REMOVED


class CutsKeys(MemoryStore):
    """As a column that is too short does."""

    def claim(self, key: ClaimKey, **arguments: Any) -> Claim:
        return super().claim(ClaimKey(key.task, key.key[:100]), **arguments)


class TakesAForB(MemoryStore):
    """As a collation that knows no case does."""

    def claim(self, key: ClaimKey, **arguments: Any) -> Claim:
        return super().claim(ClaimKey(key.task.lower(), key.key.lower().strip()), **arguments)


class LosesATask(MemoryStore):
    """One key for all tasks."""

    def claim(self, key: ClaimKey, **arguments: Any) -> Claim:
        return super().claim(ClaimKey("", key.key), **arguments)


class TakesOneOwnersClaimForAnothers(MemoryStore):
    def claim(self, key: ClaimKey, *, owner: str, **arguments: Any) -> Claim:
        said = super().claim(key, owner=owner, **arguments)
        return said if isinstance(said, Claimed) else super().claim(key, owner=self._records[key].owner, **arguments)


class NotesOfNoVersion(MemoryNotes):
    """The last writer wins, whatever it has seen. It is some way off, so that all have read before one writes."""

    def read(self, name: str) -> Note | None:
        note = super().read(name)
        time.sleep(0.02)  # the way
        return note

    def write(
        self, name: str, text: bytes, *, after: int, keep: timedelta, durable: bool = True
    ) -> Written | Note | None:
        seen = super().read(name)
        return super().write(name, text, after=seen.version if seen else 0, keep=keep, durable=durable)


class NotesOfNoAge(MemoryNotes):
    """As a store without a clock of its own has them."""

    def read(self, name: str) -> Note | None:
        note = super().read(name)
        return note and replace(note, age=timedelta(0))


class AllNotesOrNone(MemoryNotes):
    """As a store has them whose transaction is given up at the first write that is refused."""

    def write_together(self, writes: Sequence[NoteWrite]) -> Sequence[Written | Note | None]:
        seen = [self.read(write.name) for write in writes]
        if any((note.version if note else 0) != write.after for note, write in zip(seen, writes, strict=True)):
            return seen
        return super().write_together(writes)


def test_notes_that_are_refused_together_are_caught() -> None:
    """Each is written or refused for itself."""

    class Wrong(MemoryStore):
        def __init__(self, clock: FakeClock) -> None:
            super().__init__(clock)
            self.notes = AllNotesOrNone(clock)

    assert {"test_several_are_written_as_each_would_be_alone"} == caught(Wrong)


@pytest.mark.parametrize("kind", [NotesOfNoVersion, NotesOfNoAge])
def test_what_limits_need_of_notes_is_caught(kind: type[MemoryNotes]) -> None:
    """Of two workers that take a turn at once each has its own, and turns come nearer."""

    class Wrong(MemoryStore):
        def __init__(self, clock: FakeClock) -> None:
            super().__init__(clock)
            self.notes = kind(clock)

    limiting = {name for name in dir(Limiting) if name.startswith("test_")}
    assert caught(Wrong) & limiting


WRONG = [
    *(TokensBeginAnew, TokensOfTheTimeOnly, NotInOneStep, ForgetsFingerprints, ForgetsResults, IgnoresKeep),
    *(TakesAnEmptyResultForNone, RenewalsShorten, RenewalsOnlyAgree, SweepsAll, SweepsWhatIsKept, SweepsNothing),
    *(ShowsALapsedClaimAsHeld, ReleasesKeepTheOwner, ForgetsLoudly, CutsKeys, TakesAForB, LosesATask),
    TakesOneOwnersClaimForAnothers,
]


@pytest.mark.parametrize("kind", WRONG, ids=lambda kind: kind.__name__)
def test_a_store_that_is_wrong_in_one_way_is_caught(kind: Made) -> None:
    """What no table has: time, order, what is kept, whose it is."""
    assert caught(kind)


def test_namespaces_that_aren_t_kept_apart_are_caught() -> None:
    """Production and staging on one server."""
    assert caught(apart=False)
