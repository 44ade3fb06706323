"""When a task that failed is tried again, and when no more. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import msgspec

from cloudq.emulators.cloud_tasks.messages import ZERO, length

UNLIMITED: Final = -1
# What the service picks where nothing is specified (Google's page on configuring queues, 2026).
DEFAULT_ATTEMPTS: Final = 100
DEFAULT_MIN: Final = timedelta(seconds=0.1)
DEFAULT_MAX: Final = timedelta(hours=1)
DEFAULT_DOUBLINGS: Final = 16
_SECOND: Final = timedelta(seconds=1)
# No backoff is doubled more often: beyond it any other bound has been met.
_MOST_DOUBLINGS: Final = 64


class Retries(msgspec.Struct, frozen=True, kw_only=True):
    """A retry config with nothing left unspecified.

    Attributes:
        max_attempts: Attempts, the first included; -1 is without end.
        max_duration: For how long after the first attempt there are more; 0 is without end.
        min_backoff: Before the second attempt.
        max_backoff: The longest.
        max_doublings: How often the backoff doubles before it grows by the same amount each time.
    """

    max_attempts: int = DEFAULT_ATTEMPTS
    max_duration: timedelta = ZERO
    min_backoff: timedelta = DEFAULT_MIN
    max_backoff: timedelta = DEFAULT_MAX
    max_doublings: int = DEFAULT_DOUBLINGS


def specified(config: Any, *, relaxed: bool) -> Retries:
    """What a config says, with the defaults where it says nothing.

    The service cuts lengths of time to whole seconds. A `min_backoff` of which nothing is left counts as unspecified.

    Args:
        config: The protobuf message.
        relaxed: Leaves fractions of a second as they are.
    """

    def cut(duration: Any) -> timedelta:
        exact = length(duration)
        return exact if relaxed else exact // _SECOND * _SECOND

    least = cut(config.min_backoff) or DEFAULT_MIN
    most = cut(config.max_backoff) or max(DEFAULT_MAX, least)
    return Retries(
        max_attempts=config.max_attempts or DEFAULT_ATTEMPTS,
        max_duration=cut(config.max_retry_duration),
        min_backoff=min(least, most),
        max_backoff=most,
        max_doublings=config.max_doublings or DEFAULT_DOUBLINGS,
    )


def delay(retries: Retries, attempts: int) -> timedelta:
    """How long after the failure of the last of that many attempts the next one is due."""
    failures = max(attempts, 1) - 1
    doublings = min(failures, retries.max_doublings)
    if doublings > _MOST_DOUBLINGS:
        return retries.max_backoff
    steps = failures - retries.max_doublings + 1 if failures > retries.max_doublings else 1
    exact = retries.min_backoff // timedelta(microseconds=1) * 2**doublings * steps
    return min(timedelta(microseconds=exact), retries.max_backoff) if exact < _TOO_MUCH else retries.max_backoff


def is_over(retries: Retries, attempts: int, age: timedelta) -> bool:
    """Whether a task is given up after that many failed attempts, the first of them `age` ago.

    Both limits have to be met. Where attempts are unlimited a `max_duration` alone decides.
    """
    old = age >= retries.max_duration
    if retries.max_attempts == UNLIMITED:
        return retries.max_duration > ZERO and old
    return attempts >= retries.max_attempts and old


_TOO_MUCH: Final = timedelta(days=366_000) // timedelta(microseconds=1)
