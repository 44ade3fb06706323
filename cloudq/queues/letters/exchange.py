"""Dead letters as JSON Lines: written by an export, read by an import. See `docs/reference/dead-letter-export.md`."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import DeadMessage, Outgoing, SendResult
from cloudq.core.failure import Failure
from cloudq.core.message import Message, native_copy_id
from cloudq.core.printable import printable_json
from cloudq.core.redriving import times_redriven
from cloudq.core.signatures import fault_in
from cloudq.errors import BackendError, BackendUnavailable, CloudqError, OptionError, TransientError
from cloudq.queues.letters.copying import Copier
from cloudq.queues.letters.editing import Editor, Means, refuse_unsigned
from cloudq.queues.letters.groups import fingerprint_of
from cloudq.queues.letters.pace import Pace
from cloudq.queues.letters.redriving import GIVE_UP, Progress, Redriven

FORMAT: Final = 1
"""Of a line. A reader refuses what is newer."""
LONGEST_LINE: Final = 150 * 1024 * 1024
"""The most bytes of a line: the largest body in base64, and what is said beside it."""

_SECOND: Final = timedelta(seconds=1)
_BATCH: Final = 100
_BATCH_BYTES: Final = 16 * 1024 * 1024
_NOTHING: Final = msgspec.Raw()
_NO_FAILURE: Final = (b"", b"null")


class _Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a line says that is to be changed."""

    payload: dict[str, object] | UnsetType = UNSET
    task: str | UnsetType = UNSET
    idempotency_key: str | UnsetType | None = UNSET
    fairness_key: str | UnsetType | None = UNSET
    headers: dict[str, str] | UnsetType = UNSET
    expires_at: datetime | UnsetType | None = UNSET

    def apply(self, message: Message) -> Message:
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return replace(message, **{name: value for name, value in given.items() if value is not UNSET})


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """What an import reads of a line; all else is for people."""

    format: int
    queue: str
    id: str = "imported"
    body: str | None = None
    body_base64: str | None = None
    failure: msgspec.Raw = _NOTHING
    ordering_group: str | None = None
    edit: _Change | None = None


_LINES: Final = msgspec.json.Decoder(_Line)


def line_of(dead: DeadMessage) -> bytes:
    """A dead letter as one line, without its end. Its body is there byte for byte."""
    try:
        body = {"body": dead.body.decode()}
    except UnicodeDecodeError:
        body = {"body_base64": base64.b64encode(dead.body).decode()}
    members: dict[str, object] = {
        "format": FORMAT,
        "queue": dead.queue,
        "key": dead.key,
        "id": dead.id,
        "task": dead.message.task if dead.message is not None else None,
        "dead_at": dead.dead_at,
        "redriven": times_redriven(dead.message, dead.failure),
        "group": fingerprint_of(dead),
        "ordering_group": dead.group,
        "failure": None if dead.failure is None else msgspec.Raw(dead.failure.encode()),
    }
    known: Mapping[str, object] = {name: value for name, value in members.items() if value is not None}
    return printable_json(msgspec.json.encode({**known, **body}))


class Importer:
    """Sends what was exported to its queue.

    Args:
        queue: The queue.
        copier: Makes what is stored.
        store: Stores it; see `CloudQueue.store_copies`.
        means: What edits take.
        clock: Where the time comes from.
        by: Who imports, for the notes of edits.
        vouch: Whether the operator vouches for what no key of theirs has signed.
        unchecked: Whether an edit may name a task that isn't known here.
        pace: How fast.
        progress: Called after each batch.
    """

    def __init__(
        self,
        queue: str,
        copier: Copier,
        store: Callable[[Sequence[Outgoing]], Sequence[SendResult]],
        *,
        means: Means,
        clock: Clock,
        by: str,
        vouch: bool,
        unchecked: bool,
        pace: Pace,
        progress: Progress | None,
    ) -> None:
        self._queue = queue
        self._copier = copier
        self._store = store
        self._means = means
        self._clock = clock
        self._by = by
        self._vouch = vouch
        self._unchecked = unchecked
        self._pace = pace
        self._progress = progress
        # No dead letter stands behind an import, so a copy that an earlier one stored, and that may be gone since, must
        # not swallow this one's: nor one line that of its like.
        self._name = uuid.uuid4().hex
        self._errors: list[Exception] = []
        self._chosen = self._redriven = 0

    def run(self, lines: Iterable[bytes], *, start: int, limit: int | None, dry_run: bool) -> Redriven:
        """Sends those of the lines, from the one of number `start` on, that can be read. At most `limit` of them.

        Empty lines are passed over.
        """
        numbered = islice(enumerate(lines, 1), start - 1, None)
        chosen = islice(((number, line) for number, line in numbered if line.strip()), limit)
        down = 0
        for batch in _batches(chosen, self._pace.within(_SECOND, _BATCH)):
            self._chosen += len(batch)
            copies = self._copies(batch, dry_run=dry_run)
            if not dry_run:
                self._pace.wait()
                self._pace.note(len(batch))
                down = down + 1 if self._send(copies) else 0
            if self._progress is not None:
                self._progress(self._so_far())
            if down >= GIVE_UP:
                last = batch[-1][0]
                self._errors.append(
                    BackendUnavailable(
                        f"stopped behind line {last}: nothing could be stored any more",
                        hint=f"go on with line {last + 1}, and the failed ones, once the backend answers",
                    )
                )
                break
        return self._so_far()

    def _copies(self, batch: Iterable[tuple[int, bytes]], *, dry_run: bool) -> dict[int, Outgoing]:
        copies: dict[int, Outgoing] = {}
        for number, line in batch:
            try:
                copies[number] = self._copy(number, line, dry_run=dry_run)
            except CloudqError as error:
                self._errors.append(_of_line(number, error))
        return copies

    def _send(self, copies: Mapping[int, Outgoing]) -> bool:
        """Stores them. Whether the backend is down: nothing could be."""
        results = self._store(list(copies.values())) if copies else ()
        for number, result in zip(copies, results, strict=True):
            if result.error is None:
                self._redriven += 1
            else:
                self._errors.append(_of_line(number, result.error))
        return bool(results) and all(isinstance(result.error, TransientError) for result in results)

    def _copy(self, number: int, text: bytes, *, dry_run: bool) -> Outgoing:
        """What is stored for a line.

        Raises:
            CloudqError: It can't be read, is of another queue, or may not be signed here.
        """
        line = _read(text)
        if line.queue != self._queue:
            raise OptionError(
                f"it is of queue {line.queue!r}, not of {self._queue!r}", hint="import it to the queue that it is of"
            )
        delivery = self._delivery(number, line)
        item = self._copier.copy(delivery, self._instead(delivery, line.edit, dry_run=dry_run))
        if item.native_id is None:  # it can't be decoded; some services would go by its id
            return replace(item, native_id=native_copy_id("", "", f"{delivery.copy}", 1))
        return item

    def _instead(self, delivery: Delivery, change: _Change | None, *, dry_run: bool) -> Message | None:
        """The message that takes the place of the one in the line, signed anew; `None`: its bytes stay as they are.

        Raises:
            CloudqError: It may not be signed here, or is changed in what may not change.
        """
        if change is not None:
            editor = Editor(
                change.apply,
                by=self._by,
                means=self._means,
                clock=self._clock,
                vouch=self._vouch,
                unchecked=self._unchecked,
            )
            return editor.edit(delivery, dry_run=dry_run)
        keys, message = self._means.keys, delivery.message
        if keys is None or (message is not None and fault_in(delivery.body, keys) is None):
            return None
        refuse_unsigned(delivery, keys, vouch=self._vouch)
        return None if message is None else replace(message, sealed=None)

    def _delivery(self, number: int, line: _Line) -> Delivery:
        """As if it had been taken from the dead-letter queue. There is nothing to settle."""
        now, elapsed = self._clock.now(), self._clock.elapsed()
        return Delivery.of(
            _body(line),
            native_id=line.id,
            copy=f"{self._name} {number}",
            runs=1,
            deliveries=1,
            lease=Lease(queue=self._queue, receipt=None, ends=elapsed, expires_at=now),
            group=line.ordering_group,
            failure=None if bytes(line.failure) in _NO_FAILURE else Failure.decode(bytes(line.failure)),
        )

    def _so_far(self) -> Redriven:
        return Redriven(redriven=self._redriven, errors=tuple(self._errors), chosen=self._chosen)


def _batches(lines: Iterable[tuple[int, bytes]], most: int) -> Iterator[list[tuple[int, bytes]]]:
    """Cut by count and by bytes."""
    batch: list[tuple[int, bytes]] = []
    size = 0
    for number, line in lines:
        batch.append((number, line))
        size += len(line)
        if len(batch) >= most or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _read(text: bytes) -> _Line:
    """What is in a line.

    Raises:
        OptionError: It isn't one of an export.
    """
    if len(text) > LONGEST_LINE:
        raise OptionError(f"it has {len(text):,} bytes, more than an export writes")
    try:
        line = _LINES.decode(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"it isn't what an export writes: {error}", hint="cloudq dlq export QUEUE") from error
    if line.format != FORMAT:
        raise OptionError(f"it is of format {line.format}, and this version reads {FORMAT}", hint="upgrade cloudq")
    return line


def _body(line: _Line) -> bytes:
    if (line.body is None) is (line.body_base64 is None):
        raise OptionError("it has to have a body, or a body_base64, and not both", hint="cloudq dlq export QUEUE")
    if line.body is not None:
        return line.body.encode()
    try:
        return base64.b64decode(line.body_base64 or "", validate=True)
    except ValueError as error:
        raise OptionError(f"its body_base64 isn't base64: {error}") from error


def _of_line(number: int, error: Exception) -> Exception:
    """The same error, which says of which line it is."""
    if not isinstance(error, CloudqError):
        return BackendError(f"line {number}: {error}")
    named = copy(error)
    named.args = (f"line {number}: {error.message}",)
    return named
