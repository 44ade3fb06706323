"""Storing messages: batches by count and by bytes, each refused or stored as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch, ServiceBusSender
from azure.servicebus.exceptions import MessageSizeExceededError

from cloudq.core.clock import Clock, later
from cloudq.core.driver import Outgoing, SendResult
from cloudq.core.message import is_ordered
from cloudq.drivers.service_bus import encoding, sdk
from cloudq.drivers.service_bus.faults import translate, translate_unsure
from cloudq.drivers.service_bus.properties import FAILURE, native_name
from cloudq.drivers.service_bus.scheduling import schedule
from cloudq.errors import CloudqError, UnsupportedError

STORED: Final = SendResult()


def store(
    sender: ServiceBusSender, items: Sequence[Outgoing], clock: Clock, place: Callable[[], str]
) -> list[SendResult]:
    """Stores the items of one queue in as few calls as their sizes allow. One result each, in order.

    Delayed messages that are to be cancellable take calls of their own; their receipts are for `place`.
    """
    results = [STORED] * len(items)
    ready: list[int] = []
    scheduled: list[tuple[int, ServiceBusMessage]] = []
    for index, item in enumerate(items):
        refused = refusal(item)
        if refused is not None:
            results[index] = SendResult(error=refused)
        elif item.delay and item.cancellable:
            scheduled.append((index, message(item, clock)))
        else:
            ready.append(index)
    unsent = {*ready, *(index for index, _ in scheduled)}
    try:
        if ready:
            for batch, indices in _batches(sender, items, ready, clock):
                _send(sender, batch, indices, items, results)
                unsent.difference_update(indices)
        if scheduled:
            for index, result in schedule(sender, items, scheduled, place(), clock):
                results[index] = result
                unsent.discard(index)
    except Exception as error:  # noqa: BLE001 - no batch can be made without a connection: what is left has the error
        meant = translate(error, items[0].queue)
        for index in unsent:
            if results[index] is STORED:
                results[index] = SendResult(error=meant)
    return results


def message(item: Outgoing, clock: Clock) -> ServiceBusMessage:
    """The item as the SDK takes it."""
    return ServiceBusMessage(
        item.body,
        content_type=encoding.CONTENT_TYPE,
        message_id=_id(item),
        session_id=_session(item),
        scheduled_enqueue_time_utc=later(clock.now(), item.delay) if item.delay else None,
        application_properties={} if item.failure is None else {FAILURE: item.failure.encode().decode()},
    )


def _id(item: Outgoing) -> str:
    """What duplicate detection knows it by: never the name of an earlier copy (semantics 1)."""
    if item.native_id is not None:
        return native_name(item.native_id)
    # Undecodable bytes that are redriven can't say their generation; the failure beside them does.
    return native_name(item.id if item.failure is None else f"{item.id}:{item.failure.generation}")


def _session(item: Outgoing) -> str | None:
    return None if item.ordering_key is None else native_name(item.ordering_key)


def refusal(item: Outgoing) -> CloudqError | None:
    """Why an item can't be stored at all, or `None`."""
    ordered = is_ordered(item.queue)
    if ordered and item.ordering_key is None:
        return UnsupportedError(
            f"queue {item.queue!r} keeps the order of an ordering_key, and message {item.id!r} has none",
            hint="pass ordering_key=..., or send to a queue without .fifo",
        )
    if not ordered and item.ordering_key is not None:
        return UnsupportedError(
            f"queue {item.queue!r} keeps no order, so an ordering key is refused",
            hint="use a queue whose name ends in .fifo",
        )
    if ordered and item.delay:
        return UnsupportedError(f"queue {item.queue!r} keeps an order, in which a delayed message has no place")
    if item.fairness_key is not None:
        return UnsupportedError(f"queue {item.queue!r} takes no fairness_key")
    return None


def _batches(
    sender: ServiceBusSender, items: Sequence[Outgoing], ready: Sequence[int], clock: Clock
) -> Iterator[tuple[ServiceBusMessageBatch | ServiceBusMessage, list[int]]]:
    """The messages in the SDK's batches, which count the bytes that the service counts.

    What is too large for any batch goes alone: Premium takes larger messages than batches.
    """
    batch, indices = sender.create_message_batch(), list[int]()
    written_here = encoding.is_written_here()

    def fits(item: Outgoing) -> bool:
        if not written_here or item.delay or item.failure is not None:
            try:
                batch.add_message(message(item, clock))
            except MessageSizeExceededError:
                return False
            return True
        message_id, session_id = _id(item), _session(item)
        encoded = encoding.plain(item.body, message_id=message_id, session_id=session_id)
        return encoding.add(batch, encoded, message_id=message_id, session_id=session_id)

    for index in ready:
        if not fits(items[index]):
            if indices:
                yield batch, indices
                batch, indices = sender.create_message_batch(), []
            if not fits(items[index]):
                yield message(items[index], clock), [index]
                continue
        indices.append(index)
    if indices:
        yield batch, indices


def _send(
    sender: ServiceBusSender,
    batch: ServiceBusMessageBatch | ServiceBusMessage,
    indices: Sequence[int],
    items: Sequence[Outgoing],
    results: list[SendResult],
) -> None:
    try:
        if isinstance(batch, ServiceBusMessageBatch) and encoding.is_written_here():
            sdk.store(sender, batch)
        else:
            sender.send_messages(batch)
    except Exception as error:  # noqa: BLE001 - a batch is stored as a whole, or each of its items has the error
        meant = translate_unsure(error, items[0].queue)
        for index in indices:
            results[index] = SendResult(error=meant)
