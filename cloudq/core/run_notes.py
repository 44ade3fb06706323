"""`RunNotes`: what is noted of messages and their runs, in a store's notes by the table of `run_life`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum
from threading import Lock
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from cloudq.core import run_life
from cloudq.core.notes import Note, Notes, Written
from cloudq.core.run_life import TABLE, Call, Does, RunRecord, RunState, Seen, kept_for, seen_in
from cloudq.errors import StoreUnavailable

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(RunRecord)
# Beyond this many rounds a note changes hands faster than it can be read.
_ROUNDS: Final = 10
_NO_TIME: Final = timedelta(0)

Next = Callable[["RunRecord | None"], "RunRecord"]


class SeenRun(NamedTuple):
    """What is noted of a message.

    Attributes:
        record: How far it has come.
        at: When that was noted, by the store's clock.
        age: How long ago that was.
    """

    record: RunRecord
    at: datetime
    age: timedelta

    @property
    def is_silent(self) -> bool:
        """Whether it runs, and its worker hasn't been heard of for thirty seconds."""
        return self.record.state is RunState.RUNNING and self.age > run_life.SILENT_AFTER

    @property
    def is_alive(self) -> bool:
        """Whether it runs, and its worker has been heard of since then."""
        return self.record.state is RunState.RUNNING and not self.is_silent


class CancelAnswer(Enum):
    """What became of somebody's wish to cancel a message."""

    WILL_NOT_RUN = "will not run"
    """It waits for its first run or its next one, which it won't have."""
    ASKED = "asked"
    """It runs: its worker reads the wish within ten seconds, if it is alive."""
    TOO_LATE = "too late"
    """It is done, dead, or was cancelled before."""
    UNKNOWN = "unknown"
    """Nothing is noted of it: it isn't tracked, or was forgotten."""


class _Step(NamedTuple):
    """What a call found, and what it did."""

    seen: Seen
    does: Does
    record: RunRecord | None
    version: int


class RunNotes:
    """Notes of runs. Thread-safe. All methods raise what the store's notes raise: `StoreUnavailable`, `StoreRefused`.

    Args:
        notes: Where they are kept.
    """

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def look(self, id_: str) -> SeenRun | None:
        """What is noted of a message, or `None`."""
        note = self._notes.read(_name(id_))
        return None if note is None else SeenRun(_read(note), note.at, note.age)

    def track(self, id_: str, task: str, *, keep: timedelta | None = None, delay: timedelta = _NO_TIME) -> None:
        """Notes that a message is stored and waits, unless something is noted of it already: a worker may be faster.

        Args:
            id_: The message's id.
            task: The task's name.
            keep: What the task's `keep_result` says.
            delay: How far away its time is.
        """
        waiting = RunRecord(task=task, state=RunState.WAITING)
        self._step(id_, Call.TRACK, lambda _: waiting, keep, look=False, ahead=delay)

    def start(
        self, id_: str, task: str, *, owner: str, attempt: int, keep: timedelta | None, look: bool = True
    ) -> Run | RunState:
        """Notes that a run begins.

        Args:
            id_: The message's id.
            task: The task's name.
            owner: A name that no other run has.
            attempt: Its number.
            keep: What the task's `keep_result` says.
            look: Whether something is noted already, most likely: else it begins without a look.

        Returns:
            The run, to report and to end; or `CANCELLED` if it must not run; or `SUCCEEDED` if it was before, and this
            run is noted no more.
        """
        step = self._step(
            id_,
            Call.START,
            lambda record: run_life.started(record, task, owner, attempt),
            keep,
            owner=owner,
            look=look,
        )
        if step.record is not None and (step.does is Does.NOTES or step.seen is Seen.OWN):
            return Run(self._notes, id_, step.record, step.version, keep)
        return RunState.SUCCEEDED if step.seen is Seen.SUCCEEDED else RunState.CANCELLED

    def cancel(self, id_: str) -> CancelAnswer:
        """Notes that a message isn't wanted any more."""
        step = self._step(id_, Call.CANCEL, _unwanted, None)
        if step.seen is Seen.NOTHING:
            return CancelAnswer.UNKNOWN
        if step.does is Does.REFUSES:
            return CancelAnswer.TOO_LATE
        running = step.record is not None and step.record.state is RunState.RUNNING
        return CancelAnswer.ASKED if running else CancelAnswer.WILL_NOT_RUN

    def drop(self, id_: str, reason: str) -> bool:
        """Notes that a message that waits for its first run won't have one. `False`: it doesn't wait."""

        def dropped(record: RunRecord | None) -> RunRecord:
            if record is None:
                raise LookupError("nothing is noted")  # the table has that refused
            return replace(record, state=RunState.CANCELLED, reason=reason)

        return self._step(id_, Call.DROP, dropped, None).does is Does.NOTES

    def bury(self, id_: str, task: str, state: RunState, reason: str, *, keep: timedelta | None) -> None:
        """Notes what a message ended as without a run: dead, or expired.

        It isn't expired while a run of it is alive, which began in time: its message was handed over once more.
        """
        if state is RunState.EXPIRED:
            seen = self.look(id_)
            if seen is not None and seen.is_alive:
                return
        self._note_end(Call.BURY, id_, RunRecord(task=task, state=state, reason=run_life.noted_reason(reason)), keep)

    def know(self, id_: str, task: str, result: bytes | None, reason: str, *, keep: timedelta | None) -> None:
        """Notes that a message's work is done, though not by a run that noted it, with the result that is kept."""
        done = RunRecord(task=task, state=RunState.SUCCEEDED, reason=reason, result=result)
        self._note_end(Call.KNOW, id_, done, keep)

    def _note_end(self, call: Call, id_: str, end: RunRecord, keep: timedelta | None) -> None:
        def ended(record: RunRecord | None) -> RunRecord:
            return end if record is None else replace(end, attempt=record.attempt)

        self._step(id_, call, ended, keep)

    def _step(
        self,
        id_: str,
        call: Call,
        then: Next,
        keep: timedelta | None,
        *,
        owner: str = "",
        look: bool = True,
        ahead: timedelta = _NO_TIME,
    ) -> _Step:
        """Looks, and writes what follows, until nobody came in between.

        Without a look it begins by writing where nothing is, which is the usual case then.
        """
        name = _name(id_)
        note = self._notes.read(name) if look else None
        for _ in range(_ROUNDS):
            record = None if note is None else _read(note)
            seen = seen_in(record, owner)
            does = TABLE[call][seen]
            if does is Does.NOTES:
                new = then(record)
            elif does is Does.CANCELS and record is not None:
                new = replace(record, state=RunState.CANCELLED, owner=owner)
            else:
                return _Step(seen, does, record, 0 if note is None else note.version)
            # A wish mustn't have a message that is far ahead forgotten before it is due; and what is cancelled may be
            # in its queue for as long as what waits, and would run once nothing is known of it.
            is_queued = not new.state.is_final or new.state is RunState.CANCELLED
            span = max(kept_for(new.state, keep) + ahead, note.left if note and is_queued else _NO_TIME)
            said = self._notes.write(
                name,
                _ENCODER.encode(new),
                after=note.version if note else 0,
                keep=span,
                # A run that a loss of power has ended needs nobody to know that it had begun.
                durable=call is not Call.START,
            )
            if isinstance(said, Written):
                return _Step(seen, does, new, said.version)
            note = said
        raise StoreUnavailable(f"the note of message {id_!r} changes hands too fast")


class Run:
    """A run that is noted, for its owner. Thread-safe.

    Args:
        notes: Where it is kept.
        id_: The message's id.
        record: What is noted.
        version: Of that note.
        keep: What the task's `keep_result` says.
    """

    def __init__(self, notes: Notes, id_: str, record: RunRecord, version: int, keep: timedelta | None) -> None:
        self._notes = notes
        self._name = _name(id_)
        self._keep = keep
        self._lock = Lock()
        self._record = record
        self._version = version

    @property
    def unwanted(self) -> bool:
        """Whether somebody wants it cancelled, as far as was read."""
        return self._record.unwanted

    def report(self, done: float | None, total: float | None) -> bool:
        """Notes that it is alive, and how far it has come; reads whether it is still wanted. `False`: it is another's.

        Args:
            done: How much of `total` is done; `None`: as before.
            total: How much there is to do, if that is known.
        """

        def report(record: RunRecord) -> RunRecord:
            return record if done is None else replace(record, done=done, total=total)

        return self._change(Call.REPORT, RunState.RUNNING, report)

    def end(
        self,
        state: RunState,
        reason: str = "",
        result: bytes | None = None,
        progress: tuple[float, float | None] | None = None,
        delay: timedelta = _NO_TIME,
    ) -> bool:
        """Notes what became of it. `False`: it is another's, or its end was noted already as another one.

        Args:
            state: What became of it.
            reason: Why it failed or is dead; of what is done, why no result is kept.
            result: The result as JSON.
            progress: How much is done of how much, where that is newer than the latest report.
            delay: Of what will be tried again, how far away that is.
        """

        def ended(record: RunRecord) -> RunRecord:
            if progress is not None:
                record = replace(record, done=progress[0], total=progress[1])
            return run_life.ended(record, state, reason, result)

        return self._change(Call.END, state, ended, delay)

    def _change(
        self, call: Call, state: RunState, then: Callable[[RunRecord], RunRecord], ahead: timedelta = _NO_TIME
    ) -> bool:
        keep = kept_for(state, self._keep) + ahead
        with self._lock:
            owner = self._record.owner
            record: RunRecord | None = self._record
            version = self._version
            for _ in range(_ROUNDS):
                does = TABLE[call][seen_in(record, owner, state)]
                if does is not Does.NOTES or record is None:
                    return does is Does.AGREES
                new = then(record)
                said = self._notes.write(self._name, _ENCODER.encode(new), after=version, keep=keep)
                if isinstance(said, Written):
                    self._record, self._version = new, said.version
                    return True
                record, version = (None, 0) if said is None else (_read(said), said.version)
            raise StoreUnavailable(f"the note of {self._name!r} changes hands too fast")


def _unwanted(record: RunRecord | None) -> RunRecord:
    if record is None:
        raise LookupError("nothing is noted")  # the table has that refused
    return replace(record, unwanted=True)


def _name(id_: str) -> str:
    return f"run {id_}"


def _read(note: Note) -> RunRecord:
    try:
        return _DECODER.decode(note.text)
    except msgspec.MsgspecError as error:
        raise StoreUnavailable(f"a note of the store can't be read: {error}") from error
