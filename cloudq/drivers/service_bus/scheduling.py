"""Messages that are to be cancellable: scheduled by calls that tell their sequence numbers, which a batch's don't."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, timedelta
from typing import Final

from azure.servicebus import (
    ServiceBusMessage,
    ServiceBusMessageBatch,
    ServiceBusMessageState,
    ServiceBusReceiver,
    ServiceBusSender,
)
from azure.servicebus.exceptions import MessageNotFoundError, MessageSizeExceededError

from cloudq.core.clock import Clock, later
from cloudq.core.driver import Outgoing, SendResult
from cloudq.drivers.service_bus.faults import translate_unsure
from cloudq.drivers.service_bus.sdk import Unconfirmed

# Due times that are no further apart share a call, and the last of them.
SHARED: Final = timedelta(seconds=1)
# Of what a message link takes: the call has its own parts around each message.
_PART: Final = 0.75
_PAGE: Final = 250


def schedule(
    sender: ServiceBusSender,
    items: Sequence[Outgoing],
    ready: Sequence[tuple[int, ServiceBusMessage]],
    place: str,
    clock: Clock,
) -> Iterator[tuple[int, SendResult]]:
    """Schedules messages of one queue, those due at the same time together. The place and the result of each.

    Args:
        sender: The queue's.
        items: All items of the send.
        ready: The places of those to be scheduled, with their messages.
        place: Where the receipts are of: see `place_of`.
        clock: Where the time comes from.
    """
    now = clock.now()
    for group in _groups(sender, items, ready):
        due = later(now, max(items[index].delay for index, _ in group))
        try:
            numbers = sender.schedule_messages([message for _, message in group], due.astimezone(UTC))
        except Exception as error:  # noqa: BLE001 - reported for each item of the call
            for index, _ in group:
                yield index, SendResult(error=translate_unsure(error, items[index].queue))
            continue
        if not isinstance(numbers, Sequence) or len(numbers) != len(group):
            unnamed = Unconfirmed(f"{len(group)} messages were to be scheduled, and {len(numbers or ())} were named")
            for index, _ in group:
                yield index, SendResult(error=translate_unsure(unnamed, items[index].queue))
            continue
        for (index, _), number in zip(group, numbers, strict=True):
            yield index, SendResult(receipt=f"{number}@{place}")


def number_of(receipt: str, place: str) -> int:
    """The sequence number that a receipt says.

    Raises:
        ValueError: The receipt is none of `schedule`, or of another queue: the number would be somebody else's there.
    """
    number, _, of = receipt.partition("@")
    if not number.isdecimal() or of != place:
        raise ValueError(f"this is no receipt of a message that was scheduled at {place}")
    return int(number)


def cancel(sender: ServiceBusSender, number: int) -> bool:
    """Cancels a scheduled message. `False`: it was handed to the queue, or is gone.

    Raises:
        ServiceBusError: The service can't be reached, or refuses.
    """
    try:
        sender.cancel_scheduled_messages(number)
    except MessageNotFoundError:
        return False
    return True


def find_scheduled(receiver: ServiceBusReceiver) -> list[int]:
    """Reads, page by page, the sequence numbers of all messages of a queue that are scheduled."""
    numbers: list[int] = []
    first = 1
    while page := receiver.peek_messages(_PAGE, sequence_number=first):
        places = [message.sequence_number or 0 for message in page]
        numbers += [
            place
            for place, message in zip(places, page, strict=True)
            if message.state is ServiceBusMessageState.SCHEDULED
        ]
        first = places[-1] + 1
    return numbers


def place_of(namespace: str, entity: str) -> str:
    """The part of a receipt that says which queue it is for."""
    return f"{namespace}/{entity}"


def _groups(
    sender: ServiceBusSender, items: Sequence[Outgoing], ready: Sequence[tuple[int, ServiceBusMessage]]
) -> Iterator[list[tuple[int, ServiceBusMessage]]]:
    """In the order of their times, cut where these differ, and where a call would be too large."""
    most = int(sender.create_message_batch().max_size_in_bytes * _PART)
    group: list[tuple[int, ServiceBusMessage]] = []
    batch = sender.create_message_batch(max_size_in_bytes=most)
    for index, message in sorted(ready, key=lambda entry: items[entry[0]].delay):
        apart = bool(group) and items[index].delay - items[group[0][0]].delay > SHARED
        if apart or not _fits(batch, message):
            if group:
                yield group
            group, batch = [], sender.create_message_batch(max_size_in_bytes=most)
            _fits(batch, message)  # alone it goes, whatever its size: the service knows its limit
        group.append((index, message))
    if group:
        yield group


def _fits(batch: ServiceBusMessageBatch, message: ServiceBusMessage) -> bool:
    try:
        batch.add_message(message)
    except MessageSizeExceededError:
        return False
    return True
