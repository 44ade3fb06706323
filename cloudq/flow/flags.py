"""`Flags`: marks that one process sets and all others see, over a store's notes: that a queue is paused, say."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from cloudq.core.notes import Note, Notes
from cloudq.flow.changing import Change, change

# Until somebody clears it. A store's notes have an end, so this one is out of sight.
KEEP: Final = timedelta(days=3_650)
# A flag that was cleared leaves a note without text, for as long as a slow writer may still mean the one before.
KEEP_CLEARED: Final = timedelta(minutes=1)
LONGEST_TEXT: Final = 1_000

_SET: Final = b"1"


def pause_flag(queue: str) -> str:
    """The name of the flag that says that a queue is paused."""
    return f"pause/{queue}"


class Flag(NamedTuple):
    """A flag that is set.

    Attributes:
        text: What was said with it, such as who set it; somebody's words.
        at: When it was set, by the store's clock.
        age: How long ago that was.
    """

    text: str
    at: datetime
    age: timedelta


class Flags:
    """Flags by their names, for all processes of an app. Thread-safe.

    All methods raise what the store's notes raise: `StoreUnavailable`, `StoreRefused`.

    Args:
        notes: Where they are kept.
    """

    def __init__(self, notes: Notes) -> None:
        self._notes = notes

    def set(self, name: str, text: str = "") -> bool:
        """Sets it, until it is cleared. Whether it wasn't set before; one that was stays as it is.

        Args:
            name: The flag's name.
            text: What is to be known beside it: its first 1,000 characters are kept.
        """
        raised = _SET + text[:LONGEST_TEXT].encode("utf-8", "backslashreplace")

        def step(note: Note | None) -> Change[bool]:
            return Change(answer=False) if _is_set(note) else Change(answer=True, text=raised)

        return change(self._notes, _name(name), step, keep=KEEP)

    def clear(self, name: str) -> bool:
        """Clears it. Whether it was set."""

        def step(note: Note | None) -> Change[bool]:
            return Change(answer=True, text=b"", keep=KEEP_CLEARED) if _is_set(note) else Change(answer=False)

        return change(self._notes, _name(name), step, keep=KEEP_CLEARED)

    def look(self, name: str) -> Flag | None:
        """The flag if it is set: one call of the store."""
        note = self._notes.read(_name(name))
        if note is None or not _is_set(note):
            return None
        return Flag(note.text[len(_SET) :].decode("utf-8", "replace"), note.at, note.age)


def _name(name: str) -> str:
    return f"flag {name}"


def _is_set(note: Note | None) -> bool:
    return note is not None and note.text.startswith(_SET)
