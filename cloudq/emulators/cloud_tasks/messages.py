"""The protobuf messages of google-cloud-tasks as they are on the wire, and the times in them as Python has them.

The package's own classes are wrappers, which cost several times what they wrap; the emulator handles the bare messages.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from google.cloud import tasks_v2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

# Made at run time by protobuf: there are no types to name.
QueuePb: Any = tasks_v2.Queue.pb()
TaskPb: Any = tasks_v2.Task.pb()
RetryConfigPb: Any = tasks_v2.RetryConfig.pb()

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
ZERO: Final = timedelta(0)
# What a client sends may be any number; what is beyond these is as good as they are.
_LONGEST: Final = 366 * 1000 * 86_400
_FIRST: Final = -62_135_596_800
_LAST: Final = 253_370_764_800  # the beginning of the year 9999
_NANOS: Final = 999_999_999


def length(duration: Any) -> timedelta:
    """A protobuf duration, cut to whole microseconds and to a thousand years."""
    seconds = max(-_LONGEST, min(duration.seconds, _LONGEST))
    nanos = max(-_NANOS, min(duration.nanos, _NANOS))
    return timedelta(seconds=seconds, microseconds=int(nanos / 1000))


def moment(timestamp: Any) -> datetime:
    """A protobuf timestamp, cut to whole microseconds and to the years that Python knows."""
    seconds = max(_FIRST, min(timestamp.seconds, _LAST))
    return EPOCH + timedelta(seconds=seconds, microseconds=max(0, min(timestamp.nanos, _NANOS)) // 1000)


def set_moment(timestamp: Any, when: datetime) -> None:
    """Writes a moment into a protobuf timestamp."""
    since = when - EPOCH
    timestamp.seconds = since.days * 86_400 + since.seconds
    timestamp.nanos = since.microseconds * 1000


def set_length(duration: Any, value: timedelta) -> None:
    """Writes a length of time into a protobuf duration."""
    seconds, rest = divmod(value, timedelta(seconds=1))
    if seconds < 0 and rest:  # both parts have the same sign
        seconds, rest = seconds + 1, rest - timedelta(seconds=1)
    duration.seconds = seconds
    duration.nanos = rest // timedelta(microseconds=1) * 1000


def to_timestamp(when: datetime) -> Any:
    """A moment as a protobuf timestamp."""
    timestamp = Timestamp()
    set_moment(timestamp, when)
    return timestamp


def to_duration(value: timedelta) -> Any:
    """A length of time as a protobuf duration."""
    duration = Duration()
    set_length(duration, value)
    return duration
