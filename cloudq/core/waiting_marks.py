"""`WaitingMarks`: which message waits under a key, so that another one of it needn't, or takes its place.

A mark is moved after a message is stored and noted as waiting, never before, and only then is the other one dropped. So
a crash at any step leaves one message too many, not one too few:

```
 send X     stored ─▶ noted: X waits ─▶ mark: K is X ─┬─ debounce: the one before is dropped, unless it has started
                                                      └─ unique: another waits already: X is dropped itself
```
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Final

from cloudq.core.notes import Note, Notes, Written
from cloudq.core.run_life import RunState
from cloudq.core.run_notes import RunNotes
from cloudq.errors import StoreUnavailable

MARKED_FOR: Final = timedelta(hours=1)
"""For how long after its time a message counts as waiting: one that was purged mustn't hold up others forever."""
_ROUNDS: Final = 10


class WaitingMarks:
    """The marks of one app. Thread-safe. All methods raise what the store's notes raise.

    Args:
        notes: Where they are kept.
    """

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._runs = RunNotes(notes)

    def waiting(self, task: str, key: str) -> str | None:
        """The id of the message that waits under a key for its first run, or `None`."""
        note = self._notes.read(_name(task, key))
        return self._waiting_in(note)

    def take(self, task: str, key: str, id_: str, *, delay: timedelta) -> str | None:
        """Marks a message as the one that waits under a key, unless another one does.

        Args:
            task: The task's name.
            key: What is the same for messages of which one is to wait.
            id_: The message's id; it is stored, and noted as waiting.
            delay: How far away its time is.

        Returns:
            The id of the other message that waits; `None` if it is this one.
        """
        note: Note | None = None
        for _ in range(_ROUNDS):
            other = self._waiting_in(note)
            if other is not None and other != id_:
                return other
            said = self._write(task, key, id_, note, delay)
            if isinstance(said, Written):
                return None
            note = said
        raise StoreUnavailable(f"the mark of a key of task {task!r} changes hands too fast")

    def move(self, task: str, key: str, id_: str, *, delay: timedelta) -> str | None:
        """Marks a message as the one that waits under a key, in place of another one, whose id it returns.

        Args:
            task: The task's name.
            key: What is the same for messages of which one is to wait.
            id_: The message's id; it is stored, and noted as waiting.
            delay: How far away its time is.
        """
        note: Note | None = None
        for _ in range(_ROUNDS):
            said = self._write(task, key, id_, note, delay)
            if isinstance(said, Written):
                other = None if note is None else _id(note)
                return None if other == id_ else other
            note = said
        raise StoreUnavailable(f"the mark of a key of task {task!r} changes hands too fast")

    def _write(self, task: str, key: str, id_: str, note: Note | None, delay: timedelta) -> Written | Note | None:
        after = 0 if note is None else note.version
        return self._notes.write(_name(task, key), id_.encode(), after=after, keep=delay + MARKED_FOR)

    def _waiting_in(self, note: Note | None) -> str | None:
        if note is None:
            return None
        seen = self._runs.look(_id(note))
        if seen is None or seen.record.state is not RunState.WAITING or seen.record.unwanted:
            return None
        return _id(note)


def _name(task: str, key: str) -> str:
    # The key may be anybody's secret, and as long as it likes; a name is for people who look into the store.
    return f"waiting {task} {hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _id(note: Note) -> str:
    return note.text.decode("utf-8", "replace")
