"""`SQSDeadLetters`: the dead letters of one queue, which are the messages of `q-dlq`.

SQS can't show a message without leasing it. So a look receives them for a minute at most, and gives them back at its
end. That has limits:

* While somebody looks, others don't see what is being looked at.
* Each look reads the whole queue, up to `MOST` messages or `MOST_BYTES` of bodies: SQS knows neither places nor ids.
  `get`, `take` and `purge` of chosen ones end as soon as all are found, and hold no bodies but theirs. `unseen` says
  whether a look ended at its bound.
* A FIFO queue gives no further messages of a group whose first ones are in flight: of each group a look sees the first
  ten.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, Self

import msgspec
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Ack, DeadMessage, SettleResult
from cloudq.core.driver import Final as FinalCall
from cloudq.core.failure import Failure
from cloudq.core.message import Message, dead_letter_queue
from cloudq.drivers.sqs import bodies, receiving
from cloudq.drivers.sqs.calls import Calls
from cloudq.drivers.sqs.limits import MAX_BATCH, MAX_LEASE
from cloudq.drivers.sqs.settling import Settling
from cloudq.drivers.sqs.urls import QueueUrls
from cloudq.errors import UndecodableError

# The most messages that one look holds.
MOST: Final = 10_000
# And the most bytes of their bodies: what it makes of them takes several times as much.
MOST_BYTES: Final = 64 * 1024 * 1024
# No queue in use takes less than a multiple of this; what is this near to its limit may have no details beside it.
_SMALL: Final = 16 * 1024
_ROOM_FOR_A_REASON: Final = 256
LOOK_LEASE: Final = timedelta(minutes=1)


class _Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a look holds, and the lease that it was brought with."""

    key: str
    message: Mapping[str, Any]
    granted: receiving.Granted


class SQSDeadLetters:
    """Implements `cloudq.core.driver.DeadLetterQueue`.

    A key is a dead letter's time of arrival in milliseconds and the start of its SQS id: the same for everybody, as
    long as the dead letter lies there. Of what the service moved there by itself on a standard queue, SQS knows only
    when it was first sent, and so lists it by that.

    Args:
        queue: The queue that the messages died in.
        calls: How to call.
        urls: The queues' URLs.
        settling: Settles and gives back.
        clock: Where the time comes from.
        wait: How long to wait for more, once nothing came.
        arrivals: How often each was received before it came here, as first seen by this process.
    """

    def __init__(
        self,
        queue: str,
        *,
        calls: Calls,
        urls: QueueUrls,
        settling: Settling,
        clock: Clock,
        wait: timedelta,
        arrivals: dict[str, int],
    ) -> None:
        self._queue = queue
        self._name = dead_letter_queue(queue)
        self._calls = calls
        self._urls = urls
        self._settling = settling
        self._clock = clock
        self._wait = wait
        self._arrivals = arrivals
        self._listed: list[DeadMessage] | None = None
        self.unseen = False
        self.hides_for = LOOK_LEASE

    def peek(self, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
        """By time of arrival. The first page is a new look; those behind it, asked of this object, are of the same."""
        if after is None or self._listed is None:
            self._listed = self._look()
        return [dead for dead in self._listed if after is None or dead.key > after][: max(0, limit)]

    def get(self, key: str) -> DeadMessage | None:
        """Found by looking through the queue."""
        with _Look(self, {key}, LOOK_LEASE) as look:
            return next((self._dead_message(seen) for seen in look.chosen(1)), None)

    def take(self, keys: Sequence[str] | None, *, limit: int, lease: timedelta) -> Sequence[Delivery]:
        """Leases up to `limit`; what else it came across is given back at once."""
        lease = min(lease, MAX_LEASE)
        with _Look(self, None if keys is None else set(keys), lease) as look:
            chosen = look.chosen(limit)
            look.keep(chosen)
        return self._deliveries(chosen)

    def settle(self, finals: Sequence[FinalCall]) -> Sequence[SettleResult]:
        """`Ack` deletes, `Release` makes visible again; neither keeps another failure than is there."""
        return self._settling.settle(finals)

    def purge(self, keys: Sequence[str] | None) -> int:
        """Receives and deletes, ten a call, so that the number is exact; what somebody else has taken stays."""
        if keys is not None:
            with _Look(self, set(keys), LOOK_LEASE, bodies=False) as look:
                chosen = look.chosen(MOST)
                look.keep(chosen)
            return self._delete(self._deliveries(chosen))
        count = 0
        while seen := self.receive(LOOK_LEASE):
            count += self._delete(self._deliveries(seen))
        return count

    def receive(self, lease: timedelta) -> list[_Seen]:
        """The next messages that are visible; waits for a moment if there are none."""
        granted = receiving.grant(self._clock, lease)
        messages = receiving.receive(
            self._calls,
            self._urls.of(self._name),
            self._name,
            limit=MAX_BATCH,
            wait=self._wait,
            lease=lease,
        )
        return [_Seen(key=_key(message), message=message, granted=granted) for message in messages]

    def give_back(self, seen: Sequence[_Seen]) -> None:
        """Makes what a look held visible again."""
        handles = [one.message["ReceiptHandle"] for one in seen]
        self._settling.give_back(self._urls.of(self._name), self._name, handles)

    def _deliveries(self, seen: Sequence[_Seen]) -> list[Delivery]:
        url = self._urls.of(self._name)
        return [
            receiving.dead_delivery(
                one.message,
                one.granted.lease(one.message, url, self._queue),
                self._failure(one),
            )
            for one in seen
        ]

    def _delete(self, deliveries: Sequence[Delivery]) -> int:
        """How many were deleted; the first error, if there was one, once all were tried."""
        results = self.settle([FinalCall(lease=delivery.lease, step=Ack()) for delivery in deliveries])
        for result in results:
            if result.error is not None:
                raise result.error
        return len(results)

    def _failure(self, seen: _Seen) -> Failure:
        """Why it is dead. What the service moved here by itself was received too often, and given up by no worker."""
        kept = bodies.failure_of(seen.message, bodies.DEAD)
        if kept is not None:
            return kept
        before = bodies.failure_of(seen.message, bodies.FAILURE) or Failure(reason="")
        # SQS counts on here, and each look is one more: the first that this process took is the truest.
        times = self._arrivals.setdefault(seen.key, max(1, receiving.count_of(seen.message) - 1))
        reason = f"worker died or lease expired {times} times"
        if _may_fill_its_queue(seen.message):
            reason += ", or there was no room for why it is dead: see the worker's log"
        return replace(before, reason=reason, deliveries=times)

    def _look(self) -> list[DeadMessage]:
        with _Look(self, None, LOOK_LEASE) as look:
            return [self._dead_message(seen) for seen in look.chosen(MOST)]

    def _dead_message(self, seen: _Seen) -> DeadMessage:
        body = bodies.body_of(seen.message)
        message = _decoded(body, self._queue)
        failure = self._failure(seen)
        by_us = bodies.DEAD in seen.message.get("MessageAttributes", {})
        return DeadMessage(
            key=seen.key,
            id=message.id if message else seen.message["MessageId"],
            queue=self._queue,
            body=body,
            message=message,
            failure=failure,
            dead_at=receiving.moment(seen.message, "SentTimestamp") if by_us else None,
            group=receiving.group_of(seen.message, self._queue, message),
        )


class _Look:
    """Holds what it comes across until its end, so that each receive brings others.

    Args:
        letters: Where to look.
        keys: What to look for, or `None` for all.
        lease: For how long it may hold them.
        bodies: Whether those of what is looked for are of use; of others none is held.
    """

    def __init__(
        self, letters: SQSDeadLetters, keys: Collection[str] | None, lease: timedelta, *, bodies: bool = True
    ) -> None:
        self._letters = letters
        self._keys = keys
        self._lease = lease
        self._bodies = bodies
        self._bytes = 0
        self._held: dict[str, _Seen] = {}

    def __enter__(self) -> Self:
        try:
            for seen in self._receive_all():
                wanted = self._bodies and (self._keys is None or seen.key in self._keys)
                if wanted:
                    self._bytes += len(seen.message["Body"])
                self._held[seen.key] = seen if wanted else _without_body(seen)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def chosen(self, limit: int) -> list[_Seen]:
        """Those that were looked for, oldest first."""
        keys = sorted(self._held if self._keys is None else self._held.keys() & set(self._keys))
        return [self._held[key] for key in keys[: max(0, limit)]]

    def keep(self, seen: Sequence[_Seen]) -> None:
        """These are not given back."""
        for one in seen:
            del self._held[one.key]

    def _receive_all(self) -> Iterator[_Seen]:
        """Message after message, until nothing new comes or all that was looked for is found."""
        missing = None if self._keys is None else set(self._keys)
        known: set[str] = set()
        self._letters.unseen = False
        while missing is None or missing:
            full = len(known) >= MOST or self._bytes >= MOST_BYTES
            brought = self._letters.receive(self._lease)
            yield from brought
            # A message that comes a second time has outlived its lease: it was a long look.
            new = {seen.key for seen in brought} - known
            if not new:
                self._letters.unseen = bool(brought)  # then it was cut short by its own lease: there may be more
                return
            if full:
                self._letters.unseen = True
                return
            known |= new
            if missing is not None:
                missing -= new

    def _end(self) -> None:
        held, self._held = list(self._held.values()), {}
        self._letters.give_back(held)


def _without_body(seen: _Seen) -> _Seen:
    return replace(seen, message={**seen.message, "Body": ""})


def _key(message: Mapping[str, Any]) -> str:
    # Fixed in width, so that keys are ordered as the times are.
    said = message.get("Attributes", {}).get("SentTimestamp", 0)
    try:
        sent = int(said)
    except ValueError as error:
        raise receiving.no_number("SentTimestamp", said) from error
    return f"{sent:012x}-{message['MessageId'][:8]}"


def _may_fill_its_queue(message: Mapping[str, Any]) -> bool:
    """Whether its size is as near to a whole number of KiB, as all limits are, as leaves no room for details."""
    size = bodies.size(message.get("Body", ""), message.get("MessageAttributes") or {})
    return size > _SMALL and -size % 1024 < _ROOM_FOR_A_REASON


def _decoded(body: bytes, queue: str) -> Message | None:
    try:
        return wire.decode(body, queue)
    except UndecodableError:
        return None  # which is what `DeadMessage.message` says of it
