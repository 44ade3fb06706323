"""`change`: a small record that many processes share, changed as if each were alone, over a store's notes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final, Generic, NamedTuple, TypeVar

from cloudq.core.notes import Note, Notes, Written
from cloudq.errors import StoreUnavailable

T = TypeVar("T")

# Each round that is lost was won by another, so all of them go on. Beyond this the record is no small one any more.
ROUNDS: Final = 50


class Change(NamedTuple, Generic[T]):
    """What follows from what is there.

    Attributes:
        answer: For the caller.
        text: What is to be there from now on; `None`: it stays as it is.
        keep: For how long it is kept then, from now; `None`: as `change` was told.
    """

    answer: T
    text: bytes | None = None
    keep: timedelta | None = None


def change(notes: Notes, name: str, step: Callable[[Note | None], Change[T]], *, keep: timedelta) -> T:
    """Has `step` decide on what is there, and writes what it says, unless somebody was faster: then again.

    Two calls of the store; one where nothing is to be written; one more for each writer that was faster.

    Args:
        notes: Where the record is.
        name: Its name.
        step: Called with what is there, perhaps several times: it must do nothing else.
        keep: For how long the record is kept, from its latest change on.

    Raises:
        StoreUnavailable: The store can't be reached, or others were faster fifty times.
        StoreRefused: The store refuses.
    """
    seen = notes.read(name)
    for _ in range(ROUNDS):
        made = step(seen)
        if made.text is None:
            return made.answer
        said = notes.write(name, made.text, after=seen.version if seen else 0, keep=made.keep or keep)
        if isinstance(said, Written):
            return made.answer
        seen = said
    raise StoreUnavailable(f"a record that workers share was changed by others {ROUNDS} times while it was to be")
