"""Storing messages: entries of `SendMessageBatch`, packed by count and bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from cloudq.core.driver import Outgoing, SendResult
from cloudq.core.message import is_dead_letter_queue, is_ordered
from cloudq.drivers.sqs import bodies
from cloudq.drivers.sqs.client import SqsClient
from cloudq.drivers.sqs.faults import of_item, translate
from cloudq.drivers.sqs.limits import MAX_BATCH, MAX_BYTES, MAX_DELAY, seconds_up
from cloudq.errors import CloudqError, MessageTooLarge, UnsupportedError

STORED: Final = SendResult()
_NAME = re.compile("[!-~]{1,128}")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a batch: its place among the items, its parameters, and the bytes that count."""

    index: int
    parameters: dict[str, Any]
    size: int


def native_name(key: str) -> str:
    """A key as SQS takes it for a group or for de-duplication: itself, or its hash if it is too long or not ASCII."""
    return key if _NAME.fullmatch(key) else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def store(client: SqsClient, url: str, items: Sequence[Outgoing]) -> list[SendResult]:
    """Stores the items of one queue, in as few calls as their sizes allow. One result each, in order."""
    results = [STORED] * len(items)
    entries: list[Entry] = []
    for index, item in enumerate(items):
        made = entry(index, item)
        if isinstance(made, Entry):
            entries.append(made)
        else:
            results[index] = SendResult(error=made)
    for batch in packed(entries):
        for index, error in _sent(client, url, items[batch[0].index].queue, batch):
            results[index] = SendResult(error=error)
    return results


def entry(index: int, item: Outgoing) -> Entry | CloudqError:
    """The item in the form in which it is sent, or why it can't be stored at all."""
    ordered = is_ordered(item.queue)
    refused = _refusal(item, ordered=ordered)
    if refused is not None:
        return refused
    text, attributes = bodies.stored(item.body, item.failure, dead=is_dead_letter_queue(item.queue))
    size = bodies.size(text, attributes)
    if size > MAX_BYTES:
        encoded = "" if bodies.ENCODING not in attributes else " once in base64, as it isn't a text that SQS takes"
        return MessageTooLarge(f"message {item.id!r} has {size:,} bytes{encoded}; SQS stores at most {MAX_BYTES:,}")
    parameters: dict[str, Any] = {"Id": str(index), "MessageBody": text}
    if attributes:
        parameters["MessageAttributes"] = attributes
    if item.delay:
        parameters["DelaySeconds"] = seconds_up(item.delay)
    if ordered and item.ordering_key is not None:
        parameters["MessageGroupId"] = native_name(item.ordering_key)
        # FIFO queues want one of each message. The id is one: a send that is tried again stays one message.
        parameters["MessageDeduplicationId"] = native_name(item.native_id or item.id)
    elif item.fairness_key is not None:
        parameters["MessageGroupId"] = native_name(item.fairness_key)
    return Entry(index=index, parameters=parameters, size=size)


def packed(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """The entries in batches that SQS takes.

    The core cuts batches by their bodies; attributes and base64 may make them larger than it could know.
    """
    batch: list[Entry] = []
    size = 0
    for one in entries:
        if batch and (len(batch) >= MAX_BATCH or size + one.size > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += one.size
    if batch:
        yield batch


def _sent(client: SqsClient, url: str, queue: str, batch: Sequence[Entry]) -> Iterator[tuple[int, Exception]]:
    """Makes the call. Gives the indices of the items that weren't stored, each with its error."""
    try:
        answer = client.send_message_batch(QueueUrl=url, Entries=[one.parameters for one in batch])
    except Exception as error:  # noqa: BLE001 - whatever the SDK raised, each item of the call has it
        meant = translate(error, queue)
        for one in batch:
            yield one.index, meant
        return
    for failed in answer.get("Failed", ()):
        yield int(failed["Id"]), of_item(failed, queue)


def _refusal(item: Outgoing, *, ordered: bool) -> CloudqError | None:
    if ordered and item.ordering_key is None:
        return UnsupportedError(
            f"queue {item.queue!r} keeps the order of an ordering_key, and message {item.id!r} has none",
            hint="pass ordering_key=..., or send to a queue without .fifo",
        )
    if ordered and item.delay:
        return UnsupportedError(f"queue {item.queue!r} is a FIFO queue, which delays no single message")
    if ordered and item.fairness_key is not None:
        return UnsupportedError(f"queue {item.queue!r} is a FIFO queue, which knows no fairness_key")
    if not ordered and item.ordering_key is not None:
        return UnsupportedError(
            f"queue {item.queue!r} keeps no order, so an ordering key is refused",
            hint="use a queue whose name ends in .fifo",
        )
    if item.delay > MAX_DELAY:
        return UnsupportedError(f"a delay of {item.delay} is longer than SQS's {MAX_DELAY}")
    return None
