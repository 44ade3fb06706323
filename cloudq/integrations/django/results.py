"""What is kept of a task for Django's `get_result`: a note in the app's store, changed by who saw the latest one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from cloudq.core.notes import LARGEST_NOTE, Note, Notes, NotesTogether, NoteWrite, Written, together
from cloudq.core.owed_notes import OWED
from cloudq.core.safe_log import SafeLogger
from cloudq.core.shield import shielded
from cloudq.errors import BackendError, CloudqError

logger = SafeLogger("cloudq.django")

READY: Final = "READY"
RUNNING: Final = "RUNNING"
FAILED: Final = "FAILED"
SUCCESSFUL: Final = "SUCCESSFUL"
_ENCODER: Final = msgspec.json.Encoder()
_MOST_TOGETHER: Final = 100
"""The most notes of sends that one call writes: others wait for the file meanwhile."""
_MOST_ERRORS: Final = 20
"""The latest ones: a note is bounded, and a policy may allow any number of attempts."""
MOST_WORKERS: Final = 1_000
"""Of as many attempts it is kept who made them."""


class KeptError(msgspec.Struct, frozen=True):
    """One attempt that failed: its exception's class and the end of its traceback, without secrets."""

    kind: str
    traceback: str


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one task that was enqueued: the fields of Django's `TaskResult`, with the task by its name."""

    task: str
    queue: str
    backend: str
    priority: int = 0
    run_after: datetime | None = None
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    status: str = READY
    enqueued_at: datetime | None = None
    started_at: datetime | None = None
    last_attempted_at: datetime | None = None
    finished_at: datetime | None = None
    errors: list[KeptError] = []
    workers: list[str] = []
    value: Any = None


_DECODER: Final = msgspec.json.Decoder(Kept)


class Seen(NamedTuple):
    """What is known, and the version that the next write has to follow; 0 where nothing is kept."""

    kept: Kept
    version: int


class KeptResults:
    """Reads and writes what is kept. Thread-safe.

    Args:
        notes: Gives the store's notes.
        keep: For how long each is kept from its latest change on.
    """

    def __init__(self, notes: Callable[[], Notes], keep: timedelta) -> None:
        self._notes = notes
        self._keep = keep

    def look(self, id_: str) -> Kept | None:
        """What is known of a message now. What this run itself owes is noted before.

        Raises:
            BackendError: The store can't be reached.
        """
        _pay()
        note = self._notes().read(_name(id_))
        return None if note is None else read(note)

    @shielded  # a time limit that strikes within would be taken for the store's failure
    def add(self, sent: Sequence[tuple[str, Kept, timedelta]]) -> None:
        """Notes what was sent, unless a worker was faster. A store that fails is logged: the messages are sent already.

        A loss of power may take these notes, as it may take one that an attempt begins: the message is there all the
        same, and what becomes of it is noted.

        Args:
            sent: Of each message its id, what is to be known of it, and how far away its time is.
        """
        writes = [
            NoteWrite(name=_name(id_), text=_text(kept), after=0, keep=self._keep + ahead, durable=False)
            for id_, kept, ahead in sent
        ]
        notes = self.together if len(writes) > 1 else None
        if notes is None:
            for (id_, _, _), write in zip(sent, writes, strict=True):
                if isinstance(error := self.said(write), Exception):
                    log_unnoted(id_, error)
            return
        for first in range(0, len(writes), _MOST_TOGETHER):
            try:
                notes.write_together(writes[first : first + _MOST_TOGETHER])
            except CloudqError as error:
                for id_, _, _ in sent[first : first + _MOST_TOGETHER]:
                    log_unnoted(id_, error)

    @shielded  # as above
    def known(self, id_: str, fresh: Kept) -> Seen:
        """What is known of a message for a write that is to follow; a store that fails is logged.

        Args:
            id_: The message's id.
            fresh: What is known from the message alone, for where nothing is kept.
        """
        _pay()
        try:
            note = self._notes().read(_name(id_))
            return Seen(fresh, 0) if note is None else Seen(read(note), note.version)
        except CloudqError as error:
            log_unnoted(id_, error)
            return Seen(fresh, 0)

    def end(self, id_: str, kept: Kept, *, after: int) -> int:
        """Notes how it ended, unless an attempt has begun meanwhile. Returns the version; 0: not noted."""
        said = self.said(self.write_of(id_, kept, after=after))
        if isinstance(said, Exception):
            log_unnoted(id_, said)
        return said.version if isinstance(said, Written) else 0

    @property
    def together(self) -> NotesTogether | None:
        """The notes, if several can be written by one call."""
        try:
            return together(self._notes())
        except CloudqError:
            return None  # a write alone says so

    def write_of(self, id_: str, kept: Kept, *, after: int, durable: bool = True) -> NoteWrite:
        """What is to be written, after the version that was seen."""
        return NoteWrite(name=_name(id_), text=_text(kept), after=after, keep=self._keep, durable=durable)

    def said(self, write: NoteWrite) -> Written | Note | Exception | None:
        """Makes a write. Returns what the store says of it, or what it failed with."""
        try:
            return self._notes().write(
                write.name, write.text, after=write.after, keep=write.keep, durable=write.durable
            )
        except CloudqError as error:
            return error


def check_kept(value: object) -> None:
    """Refuses a value that can't be written into a note.

    Raises:
        TypeError: It is, or has within it, what isn't JSON: a key that is no text or number.
        ValueError: It has a text that isn't Unicode.
        RecursionError: It is too deep.
    """
    _ENCODER.encode(value)


def workers(known: list[str], worker: str, attempt: int) -> list[str]:
    """Who ran each attempt, one name an attempt: Django counts them. Of some nobody is known.

    Of very many attempts, the latest `MOST_WORKERS`: how many there were is the message's to say, and so anybody's.
    """
    earlier = min(max(0, attempt - 1), MOST_WORKERS - 1)
    before = [*known, *["unknown"] * (earlier - len(known))][: max(0, attempt - 1)]
    return [*before[len(before) - earlier :], worker]


def read(note: Note) -> Kept:
    """What is kept in a note.

    Raises:
        BackendError: Another version wrote it.
    """
    try:
        return _DECODER.decode(note.text)
    except msgspec.MsgspecError as error:
        raise BackendError("what the store keeps of this task can't be read by this version") from error


def log_unnoted(id_: str, error: Exception) -> None:
    """Says that something is not noted: it ends no send and no run."""
    logger.warning("what became of %s couldn't be noted: %s", id_, error)


def _pay() -> None:
    """Notes what the run of this context owes: who reads has to find it."""
    if (owed := OWED.get()) is not None:
        owed.pay()


def _text(kept: Kept) -> bytes:
    if len(kept.errors) > _MOST_ERRORS:
        kept = replace(kept, errors=kept.errors[-_MOST_ERRORS:])
    text = _ENCODER.encode(kept)
    if len(text) > LARGEST_NOTE:  # what it ends as is known all the same
        text = _ENCODER.encode(replace(kept, args=[], kwargs={}, value=None, errors=kept.errors[-1:]))
    return text


def _name(id_: str) -> str:
    return f"django:{id_}"
