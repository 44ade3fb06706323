"""`ServiceBusDeadLetters`: the dead letters of one queue, in its own sub-queue `q/$DeadLetterQueue`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from azure.servicebus import ServiceBusReceivedMessage

from cloudq.core import wire
from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Ack, DeadMessage, SettleResult
from cloudq.core.driver import Final as FinalCall
from cloudq.core.message import Message
from cloudq.drivers.service_bus import batch_delete, deadlines, receiving
from cloudq.drivers.service_bus.dispositions import RELEASE
from cloudq.drivers.service_bus.faults import translate
from cloudq.drivers.service_bus.limits import MAX_LOCK
from cloudq.drivers.service_bus.links import Link, Taken
from cloudq.drivers.service_bus.properties import group_of
from cloudq.drivers.service_bus.receipts import Receipt
from cloudq.errors import ConfigurationError, UndecodableError

# To the SDK 0 means "behind what came last".
FIRST: Final = 1
_DIGITS: Final = 20
_MOST_NUMBER: Final = 2**63 - 1
# How many are asked for at a time.
PAGE: Final = 100
# The most that a search for chosen ones holds.
MOST: Final = 10_000
# How long a receive of dead letters that are there may take, in real time.
LOOK: Final = timedelta(seconds=1)


class ServiceBusDeadLetters:
    """Implements `cloudq.core.driver.DeadLetterQueue`. A key is the sequence number, by which they are ordered.

    A look peeks, and so takes nothing. Service Bus leases only the oldest, so taking chosen ones also leases those
    before them for a moment; they are released, which doesn't count as a delivery. `unseen` says whether the latest
    search ended at its bound, with some of the chosen ones not found.

    Args:
        queue: The queue that the messages died in.
        link: Gives the link to its dead letters.
        settle: Settles what was taken.
        clock: Where the time comes from.
        patience: How long one answer may take.
    """

    def __init__(
        self,
        queue: str,
        *,
        link: Callable[[], Link],
        settle: Callable[[Sequence[FinalCall]], Sequence[SettleResult]],
        clock: Clock,
        patience: timedelta,
    ) -> None:
        self._queue = queue
        self._link = link
        self._settle = settle
        self._clock = clock
        self._patience = patience
        self.unseen = False

    def peek(self, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
        """By sequence number, in pages.

        Raises:
            ConfigurationError: `after` can't be the key of a dead letter.
        """
        self.unseen = False
        found: list[DeadMessage] = []
        place = FIRST - 1 if after is None else _number(after)
        if place is None:
            raise ConfigurationError(
                f"{after!r:.50} isn't the key of a dead letter", hint="list them to see their keys"
            )
        first = place + 1
        while len(found) < limit:
            page = self._peek(first, min(PAGE, limit - len(found)))
            found += map(self._dead_message, page)
            if not page:
                break
            first = (page[-1].sequence_number or 0) + 1
        return found

    def get(self, key: str) -> DeadMessage | None:
        """Peeks at its place."""
        number = _number(key)
        if number is None:
            return None
        found = self._peek(number, 1)
        return self._dead_message(found[0]) if found and _key(found[0]) == key else None

    def take(self, keys: Sequence[str] | None, *, limit: int, lease: timedelta) -> Sequence[Delivery]:
        """Leases up to `limit`, for as long as the queue's locks last; others that it came across are released."""
        del lease  # a lock is as long as the queue says
        link, wanted = self._link(), None if keys is None else set(keys)
        chosen: list[Taken] = []
        others: list[Taken] = []
        try:
            while len(chosen) < limit and len(others) < MOST and wanted != set():
                count = min(PAGE, limit - len(chosen)) if wanted is None else PAGE
                taken = link.receive(count, LOOK if not chosen and not others else timedelta(0))
                if not taken:
                    break
                for one in taken:
                    if (wanted is None or _key(one.message) in wanted) and len(chosen) < limit:
                        chosen.append(one)
                        if wanted is not None:
                            wanted.discard(_key(one.message))
                    else:
                        others.append(one)
        except BaseException as error:
            others += chosen  # nobody gets them
            if not isinstance(error, Exception):
                raise
            raise translate(error, self._queue) from error
        finally:
            self.unseen = bool(wanted) and len(others) >= MOST
            with deadlines.within(self._patience):
                link.settle([(one.message, RELEASE) for one in others])
        now, wall = self._clock.elapsed(), self._clock.now()
        return [
            receiving.dead_delivery(
                message,
                Lease(queue=self._queue, receipt=Receipt(link, message), expires_at=wall + (ends - now), ends=ends),
            )
            for message, ends in chosen
            if ends is not None and ends > now
        ]

    def settle(self, finals: Sequence[FinalCall]) -> Sequence[SettleResult]:
        """`Ack` deletes, `Release` leaves it; neither keeps another failure than is there."""
        return self._settle(finals)

    def purge(self, keys: Sequence[str] | None) -> int:
        """All: by the service's batch delete, then what that left. Receives and completes; what is taken stays."""
        count = self._delete_at_once() if keys is None else 0
        while taken := self.take(keys, limit=PAGE if keys is None else len(keys), lease=MAX_LOCK):
            for result in self.settle([FinalCall(lease=delivery.lease, step=Ack()) for delivery in taken]):
                if result.error is not None:
                    raise result.error
                count += 1
            if keys is not None:
                break
        return count

    def _delete_at_once(self) -> int:
        now = self._clock.now()
        return batch_delete.delete_enqueued(self._link(), now, queue=self._queue, patience=self._patience)

    def _peek(self, first: int, count: int) -> list[ServiceBusReceivedMessage]:
        try:
            with deadlines.within(self._patience):
                return self._link().ask(lambda receiver: receiver.peek_messages(count, sequence_number=first))
        except Exception as error:
            raise translate(error, self._queue) from error

    def _dead_message(self, message: ServiceBusReceivedMessage) -> DeadMessage:
        body = receiving.body_of(message)
        decoded: Message | None
        try:
            decoded = wire.decode(body, self._queue)
        except UndecodableError:
            decoded = None
        failure, session = receiving.why_dead(message), message.session_id
        return DeadMessage(
            key=_key(message),
            id=decoded.id if decoded else str(message.message_id or message.sequence_number),
            queue=self._queue,
            body=body,
            message=decoded,
            failure=failure,
            # The service says only when it was first stored.
            dead_at=failure.last_at if failure else None,
            group=None if session is None else group_of(session, decoded.ordering_key if decoded else None),
        )


def _number(key: str) -> int | None:
    """The sequence number, if the key can be one: that of a message behind it is one of 64 bits, too."""
    number = int(key) if key.isascii() and key.isdigit() and len(key) <= _DIGITS else _MOST_NUMBER
    return number if number < _MOST_NUMBER else None


def _key(message: ServiceBusReceivedMessage) -> str:
    # As texts they are in the order of the numbers.
    return f"{message.sequence_number or 0:0{_DIGITS}d}"
