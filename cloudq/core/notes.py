"""Notes: what a store keeps beside its claims, to be changed only by a caller that knows what it changes.

A note is some bytes under a name. Runs, their results and the marks of waiting messages are kept as notes: what they
mean, and which change follows which, is written once (`run_life`), and no store has to know it.

```
 worker     read ─▶ RUNNING, version 7         write(after=7) ─▶ DONE, version 9
 operator              read ─▶ RUNNING, version 7        write(after=7) ─▶ refused: version 9, look again
```
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol, cast

import msgspec

LARGEST_NOTE: Final = 320 * 1024
"""The most bytes of a note: DynamoDB's items have 400 KiB, names and numbers included."""

_LONGEST_SHOWN: Final = 600


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept under a name.

    Attributes:
        text: Its bytes.
        version: To be named by the write that follows it. No two writes of a name have the same.
        at: When it was written, by the store's clock: for show.
        age: How long ago that was, by the store's clock.
        left: For how long it is still kept.
    """

    text: bytes
    version: int
    at: datetime
    age: timedelta
    left: timedelta


class Written(msgspec.Struct, frozen=True):
    """The note is what the caller wrote.

    Attributes:
        version: To be named by the write that follows it.
    """

    version: int


class NoteWrite(msgspec.Struct, frozen=True, kw_only=True):
    """One of several writes that are made together: what `Notes.write` is called with."""

    name: str
    text: bytes
    after: int
    keep: timedelta
    durable: bool = True


class Notes(Protocol):
    """Keeps notes under names, for all processes of an app. A store's second side: `Store.notes`.

    All methods must be safe to call from several threads and processes at once, and end within the store's time limit.
    They raise `StoreUnavailable` and `StoreRefused` as the store's own do: each call may then have been carried out.
    """

    def read(self, name: str) -> Note | None:
        """What is there, after every write that ended before; `None` if nothing is, or it was kept for long enough."""
        ...

    def write(
        self, name: str, text: bytes, *, after: int, keep: timedelta, durable: bool = True
    ) -> Written | Note | None:
        """Writes the note if the latest one is that of version `after`: in one step, with nothing between.

        Args:
            name: What is written to.
            text: The bytes, up to `LARGEST_NOTE`.
            after: The version that the caller has seen; 0 if it has seen that nothing is there.
            keep: For how long it is kept, from now. Then there is nothing.
            durable: Whether it has to survive a loss of power, where the store itself may choose: SQLite flushes such a
                write to the disk. Every write survives a killed process, and a later durable one takes it along.

        Returns:
            `Written`; else what is there instead, unchanged: a note, or `None` for nothing.
        """
        ...

    def sweep(self, limit: int) -> int:
        """Removes up to `limit` notes that were kept for long enough; says how many. 0 where the server does it."""
        ...


class NotesTogether(Notes, Protocol):
    """Notes of a store to which several writes cost hardly more than one."""

    def write_together(self, writes: Sequence[NoteWrite]) -> Sequence[Written | Note | None]:
        """Makes these writes, of different names, in one call: each for itself, as `write`, in their order.

        One that is refused keeps no other from being made. If one has to survive a loss of power, all do.

        Returns:
            What `write` says, for each.
        """
        ...


def together(notes: Notes) -> NotesTogether | None:
    """The notes, if several can be written by one call; `None`: they can't, here."""
    return cast("NotesTogether", notes) if hasattr(notes, "write_together") else None


def note_digest(namespace: str, name: str) -> bytes:
    """32 bytes that no other namespace, note or claim has: for stores whose own keys are short."""
    made = hashlib.sha256(b"note")
    for part in (namespace, name):
        encoded = part.encode("utf-8", "surrogatepass")
        made.update(len(encoded).to_bytes(8) + encoded)
    return made.digest()


def new_version() -> int:
    """A version that no other write has, as 62 random bits: so a write whose answer was lost knows itself again."""
    return secrets.randbits(62) | 1


def shown_name(name: str) -> str:
    """A name as every server takes it, for people: bounded, without NUL and halves of surrogate pairs."""
    return name[:_LONGEST_SHOWN].encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
