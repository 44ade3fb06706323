"""`OwedNotes`: what is to be noted of a run before its message is acknowledged, at once with that of other runs.

```
 handler A ─▶ owed ─┐
 handler B ─▶ owed ─┼─▶ one write of the store ─▶ one call that acknowledges all three
 handler C ─▶ owed ─┘
```

A write that is flushed to a disk takes longer than a short task, and costs ten notes no more than one. So an edge that
acknowledges several messages at a time has their notes wait for that. What isn't noted yet isn't acknowledged either: a
crash between a task's end and the write has the message come again, as one between the end and the acknowledgement.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import Final, NamedTuple, TypeAlias

from cloudq.core.notes import Note, NotesTogether, NoteWrite, Written

Told: TypeAlias = Callable[["Written | Note | Exception | None"], None]
"""Told what the store said of a write, or what it failed with. Must not raise."""


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
    """What is owed of one run. Its own thread adds to it; any may pay it, and each note is written once."""

    __slots__ = ("_owed",)

    def __init__(self) -> None:
        self._owed: deque[OwedNote] = deque()  # its steps are atomic

    def __bool__(self) -> bool:
        """Whether anything is owed."""
        return bool(self._owed)

    def add(self, note: OwedNote) -> None:
        """Has this written later: before the run's message is acknowledged."""
        self._owed.append(note)

    def take(self) -> list[OwedNote]:
        """Takes out what is owed."""
        taken: list[OwedNote] = []
        while self._owed:
            try:
                taken.append(self._owed.popleft())
            except IndexError:  # another thread was faster
                break
        return taken

    def pay(self) -> None:
        """Writes what is owed. May block, for as long as a store's call; never raises for one that fails."""
        if self._owed:
            pay_all([self])


OWED: Final[ContextVar[OwedNotes | None]] = ContextVar("cloudq_owed_notes", default=None)
"""What the run of this context owes; `None`: its edge acknowledges what it runs one by one, so that nothing waits."""


def pay_all(owed: Iterable[OwedNotes]) -> None:
    """Writes what is owed of several runs, by one call of each store. May block; never raises for one that fails."""
    by_store: dict[int, list[OwedNote]] = {}
    for one in owed:
        for note in one.take():
            by_store.setdefault(id(note.notes), []).append(note)
    for notes in by_store.values():
        _pay(notes)


def _pay(owed: Sequence[OwedNote]) -> None:
    try:
        answers: Sequence[Written | Note | Exception | None]
        answers = owed[0].notes.write_together([one.write for one in owed])
    except Exception as error:  # noqa: BLE001 - a store's package may raise anything, and the work is done all the same
        answers = [error] * len(owed)
    for one, answer in zip(owed, answers, strict=True):
        one.told(answer)
