"""Small things that all statements of this driver share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Final, TypeVar

import msgspec

from cloudq.core.clock import EPOCH, span_micros, to_micros
from cloudq.core.delivery import Lease
from cloudq.core.failure import Failure
from cloudq.errors import LeaseLost, UndecodableError
from cloudq.sqlite_file.boot import LATEST

T = TypeVar("T")

UNDELAYED: Final = 0
"""In the boot's place of a message that isn't leased and was put there without a delay: no wall clock hides it."""

EARLIEST: Final = to_micros(datetime.min.replace(tzinfo=EPOCH.tzinfo))
# Statements with a list of values are cut into portions of this many.
_PORTION: Final = 512


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """Names a row and one of its deliveries. `number` grows with each, so that no two receipts are equal."""

    seq: int
    number: int


class MessageReceipt(Receipt, frozen=True, kw_only=True):
    """A receipt for a message."""


class DeadReceipt(Receipt, frozen=True, kw_only=True):
    """A receipt for a dead letter; of another class, since the two tables count alike."""


def later(now: int, span: timedelta) -> int:
    """The moment `span` after `now`; no later than `LATEST`, and no earlier than `now`."""
    return min(LATEST, now + max(0, span_micros(span)))


def portions(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """`values` in pieces that fit into one statement."""
    for start in range(0, len(values), _PORTION):
        yield values[start : start + _PORTION]


@cache
def listing(statement: str, count: int) -> tuple[str, int]:
    """`statement` with its `(*)` made a list of at least `count` marks, and how many it has.

    The number is a power of two, so that few different statements are prepared; the caller repeats a value.
    """
    marks = 1 << max(0, count - 1).bit_length()
    return statement.replace("(*)", "(" + ",".join("?" * marks) + ")"), marks


def listed(statement: str, values: Sequence[T]) -> tuple[str, list[T]]:
    """`statement` with its `(*)` made a list for `values`, which aren't empty, and the parameters for it."""
    sql, marks = listing(statement, len(values))
    return sql, [*values, *[values[-1]] * (marks - len(values))]


def stored_failure(failure: Failure | None) -> bytes | None:
    """A failure in the form that is stored beside a body."""
    return None if failure is None else failure.encode()


def kept_failure(stored: object) -> Failure | None:
    """The inverse. Details that can't be read become a failure that says so, since the message must be handed over."""
    if stored is None:
        return None
    if not isinstance(stored, (bytes, str)):
        return Failure(reason="the failure details can't be read: they are a number")
    try:
        return Failure.decode(stored)
    except UndecodableError as error:
        return Failure(reason=error.message)


def lease_lost(lease: Lease) -> LeaseLost:
    """The report for a lease that is over."""
    return LeaseLost(f"the lease on a message of queue {lease.queue!r} is over; nothing was changed")
