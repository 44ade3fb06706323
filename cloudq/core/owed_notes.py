"""`OwedNotes`: what is to be noted of a run before its message is acknowledged, at once with that of other runs.

```
 run A ─▶ it ends ─▶ owed ─┐
 run B ─▶ it ends ─▶ owed ─┼─▶ one write of the store ─▶ one call that acknowledges all three
 run C ─▶ it ends ─▶ owed ─┘
 run D ─▶ it begins ─▶ owed ─▶ 10 ms: it takes its time ─▶ noted as running
```

A write that is flushed to a disk takes longer than a short task, and costs ten notes no more than one. So an edge that
acknowledges several messages at a time has their notes wait for that. What isn't noted yet isn't acknowledged either: a
crash between a run's end and the write has the message come again, as one between the end and the acknowledgement.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple, TypeAlias

from cloudq.core.notes import Note, NotesTogether, NoteWrite, Written
from cloudq.core.safe_log import SafeLogger
from cloudq.core.shield import shielded

logger = SafeLogger("cloudq")

Told: TypeAlias = Callable[["Written | Note | Exception | None"], None]
"""Told what the store said of a write, or what it failed with."""


class OwedNote(NamedTuple):
    """One write that is owed.

    Attributes:
        notes: Where to.
        write: What.
        told: Told the answer.
    """

    notes: NotesTogether
    write: NoteWrite
    told: Told


class OwedNotes:
    """What is owed of one run. Any thread may pay it, and each note is written once. Who pays waits for who does.

    Attributes:
        patient: Whether the run is looked after: its beginning may wait, since somebody has it noted once it takes
            its time. Set before the run begins.
        hurried: Whether that one has lost patience, be it before the run began.
        spent: For how many seconds the run itself was at its notes: its task is no longer for that.
    """

    __slots__ = ("_lock", "_owed", "_paying", "_writing", "hurried", "patient", "spent")

    def __init__(self) -> None:
        self.patient = self.hurried = False
        self.spent = 0.0
        self._lock = threading.Lock()
        # Held while it is written: nobody acknowledges it meanwhile. Reentrant: who writes may log, and a handler look.
        self._paying = threading.RLock()
        self._writing = False  # from before it is taken out; set by who holds that lock
        self._owed: list[OwedNote] = []  # guarded by the lock

    def __bool__(self) -> bool:
        """Whether anything is owed, or being written."""
        return bool(self._owed) or self._writing

    def begin(self, note: OwedNote) -> bool:
        """Has it noted that the run begins, unless it ends soon. `False`: that can't wait, and isn't owed."""
        with self._lock:
            waits = self.patient and not self.hurried
            if waits:
                self._owed.append(note)
            return waits

    def end(self, note: OwedNote) -> None:
        """Has it noted how the run ended, before its message is acknowledged; that it began needn't be any more."""
        with self._lock:
            self._owed = [note]

    def drop(self) -> None:
        """Forgets what is owed: it is to be noted otherwise. Waits for what is being written."""
        with self._paying:
            self.take()

    def take(self) -> list[OwedNote]:
        """Takes out what is owed."""
        with self._lock:
            taken, self._owed = self._owed, []
        return taken

    def hurry(self) -> bool:
        """Has nothing wait any more that isn't owed yet. Returns whether anything is."""
        with self._lock:
            self.hurried = True
            return bool(self._owed)

    @shielded  # within a run a time limit that strikes in here would be taken for what the store failed with
    def pay(self) -> None:
        """Writes what is owed. May block, for as long as a store's call or two; never raises for one that fails."""
        if self:
            with self.taken() as owed:
                _pay(owed)

    @contextmanager
    def taken(self) -> Iterator[list[OwedNote]]:
        """Takes out what is owed, to be written within the block. Another thread that pays waits for its end.

        If the block raises, it is owed again: nobody knows what of it was written.
        """
        with self._paying:
            before, self._writing = self._writing, True
            owed = self.take()
            try:
                yield owed
            except BaseException:
                with self._lock:
                    self._owed = self._owed or owed
                raise
            finally:
                self._writing = before


OWED: Final[ContextVar[OwedNotes | None]] = ContextVar("cloudq_owed_notes", default=None)
"""What the run of this context owes; `None`: its edge acknowledges what it runs one by one, so that nothing waits."""


def pay_all(owed: Iterable[OwedNotes]) -> None:
    """Writes what is owed of several runs, by one call of each store. May block; never raises for one that fails."""
    paying = [one for one in owed if one]
    with ExitStack() as until_written:
        # In the same order everywhere, so that no two threads wait for each other.
        taken = {id(one): until_written.enter_context(one.taken()) for one in sorted(paying, key=id)}
        _pay([note for one in paying for note in taken.pop(id(one), ())])


def _pay(owed: Iterable[OwedNote]) -> None:
    by_store: dict[int, list[OwedNote]] = {}
    for note in owed:
        by_store.setdefault(id(note.notes), []).append(note)
    for notes in by_store.values():
        _write(notes)


def _write(owed: Sequence[OwedNote]) -> None:
    answers: Sequence[Written | Note | Exception | None]
    try:
        answers = owed[0].notes.write_together([one.write for one in owed])
    except Exception as error:  # noqa: BLE001 - a store's package may raise anything, and the work is done all the same
        answers = [error] * len(owed)
    for one, answer in zip(owed, answers, strict=True):
        try:
            one.told(answer)
        except Exception:  # the thread is shared, and so is the call
            logger.exception("what a store said of %s could not be taken in", one.write.name)
