"""Symbols and numbers of the dialect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from cloudq.emulators.service_bus.amqp.types import Symbol

BATCH_FORMAT: Final = 0x80013700
"""The message format of a batch: each data section is an encoded message."""

LOCK_TOKEN: Final = Symbol("x-opt-lock-token")
SEQUENCE_NUMBER: Final = Symbol("x-opt-sequence-number")
ENQUEUED_SEQUENCE_NUMBER: Final = Symbol("x-opt-enqueue-sequence-number")
ENQUEUED_TIME: Final = Symbol("x-opt-enqueued-time")
LOCKED_UNTIL: Final = Symbol("x-opt-locked-until")
MESSAGE_STATE: Final = Symbol("x-opt-message-state")
DEAD_LETTER_SOURCE: Final = Symbol("x-opt-deadletter-source")
SCHEDULED_ENQUEUE_TIME: Final = Symbol("x-opt-scheduled-enqueue-time")
PARTITION_KEY: Final = Symbol("x-opt-partition-key")

SESSION_FILTER: Final = Symbol("com.microsoft:session-filter")
SESSION_LOCKED_UNTIL: Final = Symbol("com.microsoft:locked-until-utc")
LINK_TIMEOUT: Final = Symbol("com.microsoft:timeout")

TIME_SPAN: Final = Symbol("com.microsoft:timespan")

DEAD_LETTER: Final = "com.microsoft:dead-letter"
DEAD_LETTER_REASON: Final = "DeadLetterReason"
DEAD_LETTER_DESCRIPTION: Final = "DeadLetterErrorDescription"

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)
LAST: Final = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)


def to_millis(moment: datetime) -> int:
    """A moment as AMQP's timestamps have it."""
    return (moment - EPOCH) // _MILLISECOND


def from_millis(millis: int) -> datetime:
    """The moment of a timestamp; one that no `datetime` can hold becomes the first or the last that can."""
    try:
        return EPOCH + timedelta(milliseconds=millis)
    except OverflowError:
        return LAST if millis > 0 else EPOCH


def to_time_span(span: timedelta) -> int:
    """A span in .NET's units of 100 ns."""
    return span // _MICROSECOND * 10


def to_ticks(moment: datetime) -> int:
    """A moment in .NET's units of 100 ns since year 1."""
    return (moment - _YEAR_ONE) // _MICROSECOND * 10
