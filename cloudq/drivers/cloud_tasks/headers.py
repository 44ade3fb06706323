"""What lies beside a body: headers of the stored request, which come with the push. The body stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.clock import from_micros, to_micros
from cloudq.core.failure import Failure
from cloudq.drivers.cloud_tasks.limits import DEFAULT_DEADLINE, MAX_DEADLINE, MIN_DEADLINE
from cloudq.errors import UndecodableError

CONTENT_TYPE: Final = "Content-Type"
# How long the service waits for the answer, in seconds: the one thing that its own headers don't say.
DEADLINE: Final = "Cloudq-Deadline"
# Why the message failed last, as JSON in ASCII.
FAILURE: Final = "Cloudq-Failure"
# When it died, in microseconds since 1970: dead letters are listed by that.
DEAD_AT: Final = "Cloudq-Dead-At"

_NOT_ASCII: Final = re.compile("[^ -~]")


def stored(deadline: timedelta) -> dict[str, str]:
    """The headers of every message that is stored."""
    return {CONTENT_TYPE: wire.MEDIA_TYPE, DEADLINE: f"{deadline.total_seconds():g}"}


def failure_text(failure: Failure, most: int) -> str:
    """The failure as a header's value of at most `most` characters: if need be, its traceback and texts are cut."""
    text = _ascii(failure.encode().decode())
    while len(text) > most:
        failure = _halved(failure)
        text = _ascii(failure.encode().decode())
    return text


def failure_of(headers: Mapping[str, str]) -> Failure | None:
    """The failure in a task's headers. Details that can't be read become a failure that says so."""
    text = value_of(headers, FAILURE)
    if text is None:
        return None
    try:
        return Failure.decode(text)
    except UndecodableError as error:
        return Failure(reason=error.message)


def deadline_of(headers: Mapping[str, str]) -> timedelta:
    """How long the service waits for the answer; its default where no cloudq said."""
    text = value_of(headers, DEADLINE) or ""
    try:
        seconds = float(text)
    except ValueError:
        return DEFAULT_DEADLINE
    if not MIN_DEADLINE.total_seconds() <= seconds <= MAX_DEADLINE.total_seconds():
        return DEFAULT_DEADLINE
    return timedelta(seconds=seconds)


def dead_at_text(moment: datetime) -> str:
    """A moment as a header's value."""
    return str(to_micros(moment))


def dead_at_of(headers: Mapping[str, str]) -> datetime | None:
    """When it died, or `None` where no header says."""
    text = value_of(headers, DEAD_AT) or ""
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        return None
    try:
        return from_micros(int(text))
    except OverflowError:
        return None


def value_of(headers: Mapping[str, str], name: str) -> str | None:
    """The value of a header, whatever the case of its name."""
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), None)


def _ascii(text: str) -> str:
    # In JSON whatever isn't plain ASCII stands within a string, where it may be written so.
    return _NOT_ASCII.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    units = match.group().encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _halved(failure: Failure) -> Failure:
    """The traceback goes first, from its beginning; then the texts, from their ends."""
    if failure.traceback:
        return replace(failure, traceback=failure.traceback[len(failure.traceback) // 2 + 1 :] or None)
    if failure.error_message:
        return replace(failure, error_message=failure.error_message[: len(failure.error_message) // 2] or None)
    worker = (failure.worker or "")[:64] or None
    error_type = (failure.error_type or "")[-64:] or None
    return replace(failure, reason=failure.reason[: len(failure.reason) // 2], worker=worker, error_type=error_type)
