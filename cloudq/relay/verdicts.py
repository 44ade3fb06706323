"""What becomes of a message that couldn't be published, by why.

| why | what becomes of it |
|---|---|
| the message itself: too large, not possible on that queue, no such queue, not readable | parked |
| what passes by itself, or what an operator corrects: unreachable, throttled, not permitted, full, misconfigured | tried again, without end |
| anything else | tried again, `MOST_FAILURES` times, then parked |

What an operator corrects isn't parked, else one wrong permission would park every message that comes until somebody looks.
"""  # noqa: E501 - a table's line

from __future__ import annotations

from enum import Enum
from typing import Final

from cloudq.errors import (
    ConfigurationError,
    MessageTooLarge,
    OptionError,
    PayloadError,
    PermissionDenied,
    QueueNotFound,
    SchemaMismatch,
    StorageCorrupt,
    StorageFull,
    StorageReplaced,
    TransientError,
    UndecodableError,
    UnsupportedError,
)

# With the delays of a pump, about eight minutes.
MOST_FAILURES: Final = 20
# Of an error's text, in a column and a log line.
_MOST_CHARS: Final = 1_000

_FOR_GOOD: Final = (MessageTooLarge, OptionError, PayloadError, QueueNotFound, UndecodableError, UnsupportedError)
_OF_THE_PLACE: Final = (
    ConfigurationError,
    PermissionDenied,
    SchemaMismatch,
    StorageCorrupt,
    StorageFull,
    StorageReplaced,
    TransientError,
)


class Verdict(Enum):
    """What becomes of a message."""

    PARK = "park"
    """Nothing but a person helps."""
    AGAIN = "again"
    """It is tried again later."""
    WAIT = "wait"
    """It is tried again later, and its queue with it: nothing of it would be published now."""


def verdict(error: BaseException, failures: int) -> Verdict:
    """What becomes of a message that failed with `error`, after that number of earlier failures."""
    if isinstance(error, _FOR_GOOD):
        return Verdict.PARK
    if isinstance(error, _OF_THE_PLACE):
        return Verdict.WAIT
    return Verdict.AGAIN if failures + 1 < MOST_FAILURES else Verdict.PARK


def why(error: BaseException) -> str:
    """An error's class, and its text with what to do about it, as they are kept with a message."""
    return f"{type(error).__name__}: {error}"[:_MOST_CHARS]
