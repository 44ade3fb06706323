"""What is kept of a task for Django's `get_result`: a note in the app's store, changed by who saw the latest one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from cloudq.core.notes import LARGEST_NOTE, Note, Notes, NoteWrite, Written, together
from cloudq.core.owed_notes import OWED, OwedNote
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import BackendError, CloudqError

logger = SafeLogger("cloudq.django")

READY: Final = "READY"
RUNNING: Final = "RUNNING"
FAILED: Final = "FAILED"
SUCCESSFUL: Final = "SUCCESSFUL"
_ENCODER: Final = msgspec.json.Encoder()
_PREFIX: Final = "django:"
MOST_TOGETHER: Final = 100
"""So many notes of sends are written by one call: others wait for a file meanwhile."""
_MOST_ERRORS: Final = 20
"""The latest ones: a note is bounded, and a policy may allow any number of attempts."""


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
        pay()
        note = self._notes().read(_name(id_))
        return None if note is None else _read(note)

    def add(self, id_: str, kept: Kept, *, ahead: timedelta = timedelta(0)) -> None:
        """Notes what was sent, unless a worker was faster. A store that fails is logged: the message is sent already.

        A loss of power may take the note, as it may take one that an attempt begins: the message is there all the
        same, and what becomes of it is noted.

        Args:
            id_: The message's id.
            kept: What is to be known of it.
            ahead: How far away its time is.
        """
        self.add_all([(id_, kept, ahead)])

    def add_all(self, sent: Sequence[tuple[str, Kept, timedelta]]) -> None:
        """As `add`, of several: an id, what is to be known, and how far away its time is, for each."""
        writes = [
            NoteWrite(name=_name(id_), text=_text(kept), after=0, keep=self._keep + ahead, durable=False)
            for id_, kept, ahead in sent
        ]
        for first in range(0, len(writes), MOST_TOGETHER):
            self._write_all(writes[first : first + MOST_TOGETHER])

    def begin(self, id_: str, fresh: Kept, worker: str, attempt: int, now: datetime) -> Seen:
        """Notes that an attempt begins, and says what the attempt goes on from.

        Args:
            id_: The message's id.
            fresh: What is known from the message alone, for where nothing is kept.
            worker: Who runs it.
            attempt: Its number, from 1.
            now: The time.
        """
        known, version = self.known(id_, fresh)
        kept = replace(
            known,
            status=RUNNING,
            started_at=known.started_at or now,
            last_attempted_at=now,
            workers=workers(known.workers, worker, attempt),
        )
        return Seen(kept, self._write(id_, kept, after=version, durable=False))

    def known(self, id_: str, fresh: Kept) -> Seen:
        """What is known of a message for a write that is to follow; a store that fails is logged.

        Args:
            id_: The message's id.
            fresh: What is known from the message alone, for where nothing is kept.
        """
        pay()
        try:
            note = self._notes().read(_name(id_))
            return Seen(fresh, 0) if note is None else Seen(_read(note), note.version)
        except CloudqError as error:
            _log(id_, error)
            return Seen(fresh, 0)

    def end(self, id_: str, kept: Kept, *, after: int) -> int:
        """Notes how an attempt ended, unless another one has begun meanwhile. Returns the version; 0: not noted."""
        pay()
        return self._write(id_, _bounded(kept), after=after)

    def end_before_ack(self, id_: str, kept: Kept, *, after: int, noted: Callable[[int], None]) -> bool:
        """Has noted how an attempt ended before its message is acknowledged, at once with others that end.

        Args:
            id_: The message's id.
            kept: What is known of it now.
            after: The version that was seen.
            noted: Told the version; 0: not noted.

        Returns:
            `False`: that can't be had here, and nothing was done. The edge acknowledges one by one, or the store has
            no write for several notes.
        """
        owed = OWED.get()
        if owed is None:
            return False
        try:
            notes = together(self._notes())
        except CloudqError:
            return False  # who writes at once logs it
        if notes is None:
            return False

        def told(said: Written | Note | Exception | None) -> None:
            if isinstance(said, Exception):
                _log(id_, said)
            noted(said.version if isinstance(said, Written) else 0)

        write = NoteWrite(name=_name(id_), text=_text(_bounded(kept)), after=after, keep=self._keep)
        owed.add(OwedNote(notes, write, told))
        return True

    def _write_all(self, writes: Sequence[NoteWrite]) -> None:
        """Makes several writes; a store that fails is logged."""
        try:
            notes = self._notes()
            if len(writes) > 1 and (whole := together(notes)) is not None:
                whole.write_together(writes)
                return
        except CloudqError as error:
            for write in writes:
                _log(write.name.removeprefix(_PREFIX), error)
            return
        for write in writes:
            try:
                notes.write(write.name, write.text, after=write.after, keep=write.keep, durable=write.durable)
            except CloudqError as error:
                _log(write.name.removeprefix(_PREFIX), error)

    def _write(self, id_: str, kept: Kept, *, after: int, durable: bool = True) -> int:
        try:
            written = self._notes().write(_name(id_), _text(kept), after=after, keep=self._keep, durable=durable)
        except CloudqError as error:
            _log(id_, error)
            return 0
        return written.version if isinstance(written, Written) else 0


def check_kept(value: object) -> None:
    """Refuses a value that can't be written into a note.

    Raises:
        TypeError: It is, or has within it, what isn't JSON: a key that is no text or number.
        ValueError: It has a text that isn't Unicode.
        RecursionError: It is too deep.
    """
    _ENCODER.encode(value)


def workers(known: list[str], worker: str, attempt: int) -> list[str]:
    """Who ran each attempt, one name an attempt: Django counts them. Of some nobody is known."""
    before = [*known, *["unknown"] * attempt][: max(0, attempt - 1)]
    return [*before, worker]


def pay() -> None:
    """Notes what the run of this context owes: who reads, or writes what follows, has to find it."""
    if (owed := OWED.get()) is not None:
        owed.pay()


def _text(kept: Kept) -> bytes:
    text = _ENCODER.encode(kept)
    if len(text) > LARGEST_NOTE:  # what it ends as is known all the same
        text = _ENCODER.encode(replace(kept, args=[], kwargs={}, value=None, errors=kept.errors[-1:]))
    return text


def _bounded(kept: Kept) -> Kept:
    return replace(kept, errors=kept.errors[-_MOST_ERRORS:]) if len(kept.errors) > _MOST_ERRORS else kept


def _name(id_: str) -> str:
    return f"{_PREFIX}{id_}"


def _read(note: Note) -> Kept:
    try:
        return _DECODER.decode(note.text)
    except msgspec.MsgspecError as error:
        raise BackendError("what the store keeps of this task can't be read by this version") from error


def _log(id_: str, error: Exception) -> None:
    logger.warning("what became of %s couldn't be noted: %s", id_, error)
