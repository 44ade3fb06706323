"""`Lease` and `Delivery`: one handing-over of a message, and the right to work on it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.errors import UndecodableError


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to work on a delivery for a span, counted from before the call that granted it.

    Attributes:
        queue: The queue it is a lease of.
        receipt: The driver's own proof of it; opaque to everyone else.
        ends: When it ends by `Clock.elapsed`, which can't be set, as granted at the receive. Extensions are reported by
            `extend`, not written here.
        hard_end: When it ends however often it is extended, by `Clock.elapsed`; `None` for never.
        expires_at: `ends` by the wall clock: for show.
        hard_limit: `hard_end` by the wall clock: for show.
    """

    queue: str
    receipt: object
    ends: timedelta
    hard_end: timedelta | None = None
    expires_at: datetime
    hard_limit: datetime | None = None

    def __repr__(self) -> str:
        """Without the receipt: anyone who reads it could settle the message."""
        return f"Lease(queue={self.queue!r}, expires_at={self.expires_at.isoformat()})"


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One handing-over of one message. It has no ack methods: an `Outcome` is returned, and the edge settles.

    Attributes:
        queue: The queue that it came from.
        id: The message's id, or the backend's own where the body can't be decoded.
        body: The bytes as stored.
        message: What the body says, or `None` where it can't be decoded.
        undecodable: Why it can't, or `None`.
        attempt: The number of this run, from 1; an upper bound where `Capabilities.attempt_exact` is false.
        deliveries: How often this copy of the message was handed over, from 1.
        copy: The backend's own name of this copy, the same each time it is handed over; `None` where it has none.
        lease: The right to work on it.
        group: The ordering key in force, or `None` on an unordered queue.
        known_ends: How many of the handings-over before ended in a failure that the driver itself noted, or were given
            back uncounted: none of them killed its worker.
        first_received_at: When this copy was first handed over, where the backend says.
        stored_at: When this copy was stored, by the service's clock, where the service says.
        failure: The latest failure, where the backend keeps it beside the message.
        raw: The backend's native object: the escape hatch.
        foreign: What other programs set beside the body, in the driver's own form, or `None`: copies keep it.
        fairness_key: The one that the backend has beside the body, whichever program set it, or `None`: copies keep it.
    """

    queue: str
    id: str
    body: bytes
    message: Message | None
    undecodable: str | None
    attempt: int
    deliveries: int
    copy: str | None = None
    lease: Lease
    group: str | None = None
    known_ends: int = 0
    first_received_at: datetime | None = None
    stored_at: datetime | None = None
    failure: Failure | None = None
    raw: object = None
    foreign: Mapping[str, Any] | None = None
    fairness_key: str | None = None

    @property
    def without_end(self) -> int:
        """How many of its handings-over, the present one included, ended in no way that is known."""
        return self.deliveries - self.known_ends

    def __repr__(self) -> str:
        """Without the body, which may hold what no log should."""
        task = self.message.task if self.message else None
        return f"Delivery(id={self.id!r}, queue={self.queue!r}, task={task!r}, attempt={self.attempt})"

    @classmethod
    def of(
        cls,
        body: bytes,
        *,
        native_id: str,
        runs: int,
        deliveries: int,
        lease: Lease,
        copy: str | None = None,
        group: str | None = None,
        first_received_at: datetime | None = None,
        stored_at: datetime | None = None,
        failure: Failure | None = None,
        failure_kept: bool = False,
        given_back: int = 0,
        raw: object = None,
        foreign: Mapping[str, Any] | None = None,
    ) -> Delivery:
        """What a driver makes of a stored body: decoded if it can be, with the reason if it can't.

        Args:
            body: The bytes as stored.
            native_id: The backend's id of it, used where the body has none.
            runs: Runs of this copy, the present one included, as well as the backend knows.
            deliveries: Handings-over of this copy, the present one included.
            lease: The lease granted.
            copy: The backend's own name of this copy, where it has one: it tells equal messages apart. Needed where
                `deliveries` doesn't rise with each handing-over.
            group: The ordering key in force.
            first_received_at: When this copy was first handed over.
            stored_at: When this copy was stored, by the service's clock.
            failure: What is stored beside the body.
            failure_kept: Whether the driver itself put it there (`Capabilities.keeps_failures`).
            given_back: Of `deliveries`, how many were given back uncounted: those that aren't among the `runs`. 0 where
                the backend can't tell.
            raw: The native object.
            foreign: What other programs set beside the body.
        """
        message: Message | None = None
        undecodable: str | None = None
        try:
            message = wire.decode(body, lease.queue)
        except UndecodableError as error:
            undecodable = error.message
        known_ends = max(0, given_back)
        if failure_kept and failure is not None and message is not None and failure.generation == message.generation:
            known_ends = failure.deliveries
            if given_back > 0:
                # And those that came since that failure, which may itself be a wait that was given back.
                before = failure.deliveries - (failure.attempts - message.attempt_base) + failure.is_wait
                known_ends += max(0, given_back - max(0, before))
        known_ends = min(known_ends, deliveries - 1)
        # With one keyword argument more the call would take four times as long: see `wire.encode`.
        delivery = cls(
            queue=lease.queue,
            id=message.id if message else native_id,
            body=body,
            message=message,
            undecodable=undecodable,
            attempt=(message.attempt_base if message else 0) + runs,
            deliveries=deliveries,
            copy=copy,
            lease=lease,
            group=group,
            known_ends=known_ends,
            first_received_at=first_received_at,
            stored_at=stored_at,
            failure=failure,
            raw=raw,
        )
        return delivery if foreign is None else replace(delivery, foreign=foreign)


def believed(delivery: Delivery, now: datetime) -> Delivery:
    """The same with the times of its failure between its sending and now: beside many a body anybody can write them."""
    if delivery.failure is None:
        return delivery
    message = delivery.message
    due = message.not_before if message is not None else None
    failure = delivery.failure.dated_within(message.sent_at if message else None, now, due=due or now)
    return delivery if failure is delivery.failure else replace(delivery, failure=failure)
