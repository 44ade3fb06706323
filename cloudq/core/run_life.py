"""A message's run in a store: what is noted of it, what happens, and one table that says what follows.

Rule 1: a run has an owner, drawn at its start. A caller that isn't the owner in the note neither reports nor ends it: a
worker that wakes up after its message was handed to another writes nothing.

Rule 2: what is done stays done, with its first result. A message that runs again after that (its acknowledgement was
lost) is noted no more.

Rule 3: what is cancelled before its start never starts. Its wish stays in the note of a run that goes on, where its
owner reads it at each report, and in that of one that failed, which then isn't tried again.

Rule 4: what was begun in time isn't expired. A message that is handed over again too late is, but while a run of it is
alive, that one says what becomes of it.

```
            track            start                 finish
 nothing ──────────▶ WAITING ─────▶ RUNNING ───────────────────▶ SUCCEEDED
    │                  ▲  │ cancel     │  ▲  │ fail ▶ RETRIED ─────── start ▶ RUNNING
    │      give back   └──┼────────────┘  │  │ bury ▶ DEAD_LETTERED ─ start ▶ RUNNING  (it was redriven)
    └─ start ─────────────┼───────────────┘  └ stop ▶ CANCELLED
                          ├─ start ▶ CANCELLED, and isn't run
                    drop ▶├──────▶ CANCELLED
                    bury ▶└──────▶ EXPIRED, or DEAD_LETTERED
```
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import Final

import msgspec
from msgspec.structs import replace

from cloudq.core.failure import storable

LARGEST_RESULT: Final = 256 * 1024
"""The most bytes of a result as JSON."""
REPORT_EVERY: Final = timedelta(seconds=10)
"""How often an owner writes its note again, and looks whether the run is still wanted."""
SILENT_AFTER: Final = 3 * REPORT_EVERY
"""An owner whose note is older than this is dead, or can't reach the store."""
KEPT_UNFINISHED: Final = timedelta(days=31)
"""For how long a run that hasn't ended is noted, from its latest change on; a dead one too, which may be redriven."""
KEPT_ENDED: Final = timedelta(days=1)
"""For how long a run that has ended is noted, where its task names no `keep_result`."""
LONGEST_REASON: Final = 1_000


class RunState(Enum):
    """How far a message has come: it waits, it runs, or, in the words of `Ending`, how its latest run ended."""

    WAITING = "waiting"
    RUNNING = "running"
    RETRIED = "retried"
    """It failed, and will be tried again."""
    SUCCEEDED = "succeeded"
    DEAD_LETTERED = "dead_lettered"
    """It is in the dead-letter queue."""
    CANCELLED = "cancelled"
    """Somebody cancelled it: it was acknowledged without having succeeded."""
    EXPIRED = "expired"
    """It wasn't begun in time: it was acknowledged without a run."""

    @property
    def is_final(self) -> bool:
        """Whether nothing follows by itself."""
        return self in _FINAL


_FINAL: Final = frozenset({RunState.SUCCEEDED, RunState.DEAD_LETTERED, RunState.CANCELLED, RunState.EXPIRED})


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is noted of a message. Its time is that of its note.

    Attributes:
        task: The task's name.
        state: How far it has come.
        owner: Who runs it, or ran it last.
        attempt: The number of the latest run, from 1; 0 before the first.
        unwanted: Whether somebody wants it cancelled.
        done: How much of `total` is done, as its task last said; `None` if it said nothing.
        total: How much there is to do, or `None` if the task didn't say.
        reason: Why it failed, is dead or expired; of what is done, why no result is kept.
        result: The result as JSON, or `None` if none is kept.
    """

    task: str
    state: RunState
    owner: str = ""
    attempt: int = 0
    unwanted: bool = False
    done: float | None = None
    total: float | None = None
    reason: str = ""
    result: bytes | None = None


class Seen(Enum):
    """What is noted, for the one who asks."""

    NOTHING = "nothing"
    WAITING = "waiting"
    UNWANTED = "unwanted"
    """Not the caller's own, not ended, and to be cancelled."""
    OWN = "own"
    """The caller's own run, wanted or not."""
    OTHERS = "others"
    """Another's run, whether its owner lives or not."""
    RETRIED = "retried"
    OWN_ENDED = "own, ended"
    """By the caller's own run, and as it wants it: the answer to an earlier call was lost."""
    SUCCEEDED = "succeeded"
    DEAD_LETTERED = "dead_lettered"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Call(Enum):
    """What somebody wants noted."""

    TRACK = "track"
    """A sender's: the message is stored."""
    START = "start"
    REPORT = "report"
    """An owner's: it is alive; so far has it come."""
    END = "end"
    """An owner's: done, failed, dead, cancelled, or given back."""
    BURY = "bury"
    """A worker's: it was dead-lettered, or expired, without a run."""
    KNOW = "know"
    """A worker's: its key was completed by another message, or by an owner that died before it noted it."""
    CANCEL = "cancel"
    """Somebody's: it isn't wanted any more."""
    DROP = "drop"
    """A sender's: another message has taken its place, unless it has been started already."""


class Does(Enum):
    """What follows."""

    NOTES = "notes"
    """Writes what the call says."""
    CANCELS = "cancels"
    """Notes that it is cancelled; it must not run."""
    AGREES = "agrees"
    """Changes nothing: it is as the caller wants it, or as it stays."""
    REFUSES = "refuses"
    """Changes nothing: it isn't the caller's, or too late."""


_S, _D = Seen, Does
_ENDED: Final = frozenset({_S.SUCCEEDED, _S.DEAD_LETTERED, _S.EXPIRED, _S.CANCELLED})

TABLE: Final[Mapping[Call, Mapping[Seen, Does]]] = {
    Call.TRACK: {seen: _D.NOTES if seen is _S.NOTHING else _D.AGREES for seen in Seen},
    Call.START: {
        _S.NOTHING: _D.NOTES,
        _S.WAITING: _D.NOTES,
        _S.UNWANTED: _D.CANCELS,
        _S.OWN: _D.AGREES,
        _S.OTHERS: _D.NOTES,
        _S.RETRIED: _D.NOTES,
        _S.OWN_ENDED: _D.REFUSES,
        _S.SUCCEEDED: _D.AGREES,
        _S.DEAD_LETTERED: _D.NOTES,
        _S.EXPIRED: _D.NOTES,
        _S.CANCELLED: _D.REFUSES,
    },
    Call.REPORT: {seen: _D.NOTES if seen is _S.OWN else _D.REFUSES for seen in Seen},
    Call.END: {
        seen: _D.NOTES if seen is _S.OWN else _D.AGREES if seen is _S.OWN_ENDED else _D.REFUSES for seen in Seen
    },
    Call.BURY: {seen: _D.AGREES if seen in _ENDED else _D.NOTES for seen in Seen},
    Call.KNOW: {seen: _D.AGREES if seen in {_S.SUCCEEDED, _S.CANCELLED} else _D.NOTES for seen in Seen},
    Call.CANCEL: {
        _S.NOTHING: _D.REFUSES,
        _S.WAITING: _D.NOTES,
        _S.UNWANTED: _D.AGREES,
        _S.OWN: _D.NOTES,
        _S.OTHERS: _D.NOTES,
        _S.RETRIED: _D.NOTES,
        _S.OWN_ENDED: _D.REFUSES,
        _S.SUCCEEDED: _D.REFUSES,
        _S.DEAD_LETTERED: _D.REFUSES,
        _S.EXPIRED: _D.REFUSES,
        _S.CANCELLED: _D.REFUSES,
    },
    Call.DROP: {seen: _D.NOTES if seen is _S.WAITING else _D.REFUSES for seen in Seen},
}


def seen_in(record: RunRecord | None, owner: str = "", wanted: RunState | None = None) -> Seen:
    """What a record is to the one who asks.

    Args:
        record: What is noted.
        owner: Who asks, if it is a run.
        wanted: What it wants it to become.
    """
    if record is None:
        return Seen.NOTHING
    own = owner != "" and record.owner == owner
    if record.state is RunState.RUNNING:
        return Seen.OWN if own else Seen.UNWANTED if record.unwanted else Seen.OTHERS
    if own and record.state is wanted:
        return Seen.OWN_ENDED
    if record.unwanted and not record.state.is_final:
        return Seen.UNWANTED
    return _SEEN[record.state]


_SEEN: Final = {
    RunState.WAITING: Seen.WAITING,
    RunState.RETRIED: Seen.RETRIED,
    RunState.SUCCEEDED: Seen.SUCCEEDED,
    RunState.DEAD_LETTERED: Seen.DEAD_LETTERED,
    RunState.EXPIRED: Seen.EXPIRED,
    RunState.CANCELLED: Seen.CANCELLED,
}


def started(record: RunRecord | None, task: str, owner: str, attempt: int) -> RunRecord:
    """A run that begins: what an earlier one left is gone, but for somebody's wish."""
    unwanted = record is not None and record.unwanted and not record.state.is_final
    return RunRecord(task=task, state=RunState.RUNNING, owner=owner, attempt=attempt, unwanted=unwanted)


def ended(record: RunRecord, state: RunState, reason: str, result: bytes | None) -> RunRecord:
    """A run that has ended, with what it reported last."""
    return replace(record, state=state, reason=noted_reason(reason), result=result)


def noted_reason(reason: str) -> str:
    """A reason as it is noted: it may be a task's own text, of any length, with what no note can have."""
    return storable(reason[:LONGEST_REASON])


def kept_for(state: RunState, keep: timedelta | None) -> timedelta:
    """For how long a note is kept from its writing on.

    Args:
        state: What is noted.
        keep: What the task's `keep_result` says.
    """
    if state is RunState.CANCELLED:
        # It isn't acknowledged yet, and would run if it came again and nothing were known of it.
        return KEPT_ENDED if keep is None else max(KEPT_ENDED, keep)
    if state in {RunState.SUCCEEDED, RunState.EXPIRED}:
        return KEPT_ENDED if keep is None else keep
    return KEPT_UNFINISHED if keep is None else max(KEPT_UNFINISHED, keep)
