"""Rows that another program changed, by hand say: SQLite lets any column hold a value of any type.

Such a message is handed over as one that can't be decoded, so that it ends as a dead letter which says why. An
exception in its place would come behind the lease of all that was taken with it, and so stop the queue.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from cloudq.core.clock import from_micros
from cloudq.core.delivery import Delivery, Lease
from cloudq.drivers.sqlite.rows import EARLIEST, kept_failure
from cloudq.sqlite_file.boot import LATEST

# seq, id, group_key, deliveries, runs, first_received_at, failure, body
LeasedRow: TypeAlias = "tuple[int, str, str | None, int, int, int, bytes | None, bytes]"

_KINDS: Final = {str: "text", int: "an integer", float: "a real number", bytes: "a blob", type(None): "NULL"}


def is_foreign(row: LeasedRow) -> bool:
    """Whether a value of it isn't of the type that we store."""
    _, id_, group, number, runs, first, failure, body = row
    return not (
        type(body) is bytes
        and type(id_) is str
        and (group is None or type(group) is str)
        and type(number) is int
        and type(runs) is int
        and is_moment(first)
        and (failure is None or type(failure) is bytes)
    )


def is_moment(value: object) -> bool:
    """Whether it is a time that a `datetime` can hold."""
    return type(value) is int and EARLIEST <= value <= LATEST


def undecodable(row: LeasedRow, lease: Lease) -> Delivery:
    """The delivery of such a row, as far as it can be read. Never raises."""
    seq, id_, group, number, runs, first, failure, body = row
    return Delivery(
        queue=lease.queue,
        id=as_text(id_),
        body=as_bytes(body),
        message=None,
        undecodable=why(("id", id_), ("group_key", group), ("first_received_at", first), ("body", body)),
        attempt=_count(runs),
        deliveries=_count(number),
        copy=str(seq),
        lease=lease,
        group=None if group is None else as_text(group),
        first_received_at=from_micros(first) if is_moment(first) else None,
        failure=kept_failure(failure),
        raw=seq,
    )


def why(*columns: tuple[str, object]) -> str:
    """What is said of a row with these values."""
    shown = ", ".join(f"{name} is {_KINDS.get(type(value), 'another type')}" for name, value in columns)
    return f"the row in the database was changed by another program, and its types aren't ours: {shown}"


def as_text(value: object) -> str:
    """A value as a text that can be stored."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def as_bytes(value: object) -> bytes:
    """A value as bytes: those of a blob, of a text in UTF-8, of a number in its digits."""
    return value if isinstance(value, bytes) else str(value).encode()


def _count(value: object) -> int:
    """A count, which is one at least: this handing-over."""
    try:
        return max(1, int(value))  # type: ignore[call-overload, no-any-return]  # what it can't read it refuses
    except (TypeError, ValueError, OverflowError):
        return 1
