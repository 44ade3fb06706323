"""`Failure`: why a message failed, in a form that is stored beside the message."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec.structs import replace

from cloudq.core.message import LARGEST_COUNT
from cloudq.core.redaction import LONGEST, redacted
from cloudq.core.safe_log import is_ctrl_c
from cloudq.errors import UndecodableError, wording

# The largest encoded failure. Drivers keep 16 KiB of the service's limit free for it (semantics 6).
MAX_FAILURE_BYTES: Final = 16 * 1024 - 512
_TRACEBACK_CHARS: Final = 4_000
_MESSAGE_CHARS: Final = 1_000
_NAME_CHARS: Final = 64
# A shorter part of a reason tells nobody anything.
_LEAST_REASON: Final = 32
_COUNTS: Final = ("attempts", "deliveries", "generation", "redriven")
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_TIMES: Final = ("first_at", "last_at", "waiting_since", "unknown_since")


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a message's failing: kept with its retries and with its dead letter.

    Attributes:
        reason: One line for a person: why it was retried or dead-lettered.
        error_type: The qualified name of the exception's class, or `None` where no exception was involved.
        error_message: The exception's text, cut to 1,000 characters.
        traceback: The end of the traceback, at most 4,000 characters.
        attempts: Runs so far; an upper bound where `Capabilities.attempt_exact` is false.
        deliveries: Handings-over so far by this message's present copy.
        first_at: When this message first failed.
        last_at: When it failed last.
        worker: `host:pid` of the worker that reported it.
        generation: The generation of the message at the failure (see `Message.generation`).
        waiting_since: Since when the message has done nothing but wait (see `Snoozed`), or `None` if this failure is
            another one.
        unknown_since: Since when it has been waiting for a program that knows its task, or `None` if this failure is
            another one.
        waited: For how long it had waited before, for what wasn't its fault: age-based stops don't count that.
        redriven: How often the message had been redriven (see `cloudq.core.redriving`).
    """

    reason: str
    error_type: str | None = None
    error_message: str | None = None
    traceback: str | None = None
    attempts: int = 0
    deliveries: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    worker: str | None = None
    generation: int = 0
    waiting_since: datetime | None = None
    unknown_since: datetime | None = None
    waited: timedelta = timedelta(0)
    redriven: int = 0

    @classmethod
    def of(cls, reason: str, error: BaseException | None = None) -> Failure:
        """The failure for `reason`, with what `error` tells; counts and times are filled in by the Processor.

        Its texts are without secrets (`redacted`), which is done before they are cut: half of one fits no pattern.
        """
        reason = bounded_reason(reason)
        if error is None:
            return cls(reason=reason)
        kind = type(error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        return cls(
            reason=reason,
            error_type=storable(name),
            error_message=text_of(error)[:_MESSAGE_CHARS],
            traceback=_traceback_end(error),
        )

    @property
    def is_wait(self) -> bool:
        """Whether it tells of a message that has done nothing but wait, and so was given back uncounted."""
        return self.waiting_since is not None or self.unknown_since is not None

    def redacted(self) -> Failure:
        """The same without the secrets in its texts, a middleware's own included."""
        message, end = self.error_message, self.traceback
        return replace(
            self,
            reason=bounded_reason(self.reason),
            error_message=None if message is None else redacted(message),
            traceback=None if end is None else redacted(end),
        )._storable()

    def encode(self) -> bytes:
        """UTF-8 JSON of at most `MAX_FAILURE_BYTES`: the traceback, then the texts, are cut until it fits."""
        fitted = self._storable()
        encoded = msgspec.json.encode(fitted)
        while len(encoded) > MAX_FAILURE_BYTES and (cut := fitted._halved()) is not None:
            fitted, encoded = cut, msgspec.json.encode(cut)
        return encoded

    def within(self, most: int) -> Failure | None:
        """The same, encoded in at most `most` bytes: the traceback, the message, then all but the reason are cut.

        `None` if not even the start of the reason fits.
        """
        fitted: Failure | None = self._storable()
        while fitted is not None and len(msgspec.json.encode(fitted)) > most:
            fitted = fitted._halved()
        return fitted

    def shorter(self) -> Failure | None:
        """The next step where nobody says how much fits: without the traceback, the message, all but the reason.

        `None` after the last of them.
        """
        if self.traceback:
            return replace(self, traceback=None)
        if self.error_message:
            return replace(self, error_message=None)
        bare = self._bare()
        return None if bare == self else bare

    @classmethod
    def decode(cls, encoded: bytes | str) -> Failure:
        """The inverse of `encode`; members that this version doesn't know are ignored.

        On many backends a producer can write them, so they are held to what `encode` makes: counts from 0 to
        2,147,483,647, times with an offset, and no negative length of time.

        Raises:
            UndecodableError: It isn't the JSON that `encode` makes.
        """
        try:
            decoded = msgspec.json.decode(encoded, type=cls)
        except (ValueError, RecursionError) as error:
            raise UndecodableError(f"the failure details can't be read: {error}") from error
        for name in _COUNTS:
            if not 0 <= getattr(decoded, name) <= LARGEST_COUNT:
                raise UndecodableError(f"the failure details can't be read: {name} is no count")
        if decoded.waited < timedelta(0):
            raise UndecodableError("the failure details can't be read: waited is no length of time")
        for name in _TIMES:
            moment = getattr(decoded, name)
            if moment is not None and moment.utcoffset() is None:
                raise UndecodableError(f"the failure details can't be read: {name} has no UTC offset")
            try:
                _ = moment and moment.astimezone(UTC)  # which msgpack does, too
            except OverflowError as error:
                raise UndecodableError(
                    f"the failure details can't be read: {name} is outside of the years 1 to 9999"
                ) from error
        return decoded

    def dated_within(self, first: datetime | None, last: datetime, *, due: datetime) -> Failure:
        """The same with no time before the message was sent or after now: a failure lies in between.

        Args:
            first: When the message was sent, if it says.
            last: Now.
            due: When it is due: its waiting for a program that knows it begins then.
        """
        # A sending ahead of now says nothing. Taken for now, it would move all that is true up to now, each time anew.
        first = _EARLIEST if first is None or first > last else first
        moved = {}
        for name in _TIMES:
            moment, latest = getattr(self, name), max(last, due) if name == "unknown_since" else last
            if moment is not None and not first <= moment <= latest:
                moved[name] = first if moment < first else latest
        return replace(self, **moved) if moved else self

    def _storable(self) -> Failure:
        """The same with texts that UTF-8 can carry: user code may have made others."""
        texts = {name: getattr(self, name) for name in ("reason", "error_type", "error_message", "traceback", "worker")}
        return replace(self, **{name: storable(text) for name, text in texts.items() if text is not None})

    def _halved(self) -> Failure | None:
        if self.traceback:
            return replace(self, traceback=self.traceback[len(self.traceback) // 2 + 1 :] or None)
        if self.error_message:
            return replace(self, error_message=self.error_message[: len(self.error_message) // 2] or None)
        kind, worker = (self.error_type or "")[-_NAME_CHARS:] or None, (self.worker or "")[:_NAME_CHARS] or None
        if (kind, worker) != (self.error_type, self.worker):
            return replace(self, error_type=kind, worker=worker)
        bare = self._bare()
        if bare != self:
            return bare
        if len(self.reason) < _LEAST_REASON:
            return None
        return replace(self, reason=self.reason[: len(self.reason) // 2])

    def _bare(self) -> Failure:
        """The reason alone, and the few bytes that the next worker goes by: counts, and since when it only waits."""
        return replace(self, error_type=None, error_message=None, traceback=None, worker=None)


def bounded_reason(reason: str) -> str:
    """A reason as it is kept and logged: without secrets, storable, and of 1,000 characters at most."""
    return storable(redacted(reason)[:_MESSAGE_CHARS])


def text_of(error: BaseException) -> str:
    """The exception's text without its secrets, whatever its `__str__` does. Never raises but for a Ctrl-C."""
    return _safely(str, error)


def words_of(error: BaseException) -> str:
    """As `text_of`, without the hint of an error of ours: for a reason, which is one line among others."""
    return _safely(wording, error)


def _safely(text: Callable[[BaseException], str], error: BaseException) -> str:
    try:
        return storable(redacted(text(error)))
    except BaseException as broken:
        # A user's __str__ may do anything, exit too, and the failure must be kept.
        if is_ctrl_c(broken):
            raise
        return f"<its text is unreadable: {type(broken).__name__}>"


def _traceback_end(error: BaseException) -> str | None:
    if error.__traceback__ is None:
        return None
    try:
        text = "".join(traceback.format_exception(error))
    except BaseException as broken:
        # Formatting runs the user's __str__, __repr__ and __notes__.
        if is_ctrl_c(broken):
            raise
        return f"<the traceback could not be formatted: {type(broken).__name__}>"
    text = storable(redacted(text[-LONGEST:]))
    return text if len(text) <= _TRACEBACK_CHARS else "…" + text[-(_TRACEBACK_CHARS - 1) :]


def storable(text: str) -> str:
    """The text as UTF-8 can have it: half of a surrogate pair (of a file name that isn't UTF-8, say) becomes a `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")
