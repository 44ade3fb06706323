"""Storing messages: entries of `SendMessageBatch`, packed by count and bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from cloudq.core.driver import Outgoing, SendResult
from cloudq.core.message import is_dead_letter_queue, is_ordered
from cloudq.core.safe_log import SafeLogger
from cloudq.drivers.sqs import bodies
from cloudq.drivers.sqs.answers import unnamed_too
from cloudq.drivers.sqs.calls import Calls
from cloudq.drivers.sqs.faults import too_many_attributes
from cloudq.drivers.sqs.limits import MAX_BATCH, MAX_BYTES, MAX_DELAY, seconds_up
from cloudq.errors import CloudqError, MessageTooLarge, UnsupportedError

logger = SafeLogger("cloudq")

STORED: Final = SendResult()
_NAME = re.compile("[!-~]{1,128}")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a batch: its place among the items, its parameters, and the bytes that count."""

    index: int
    parameters: dict[str, Any]
    size: int


def key_on_sqs(key: str) -> str:
    """A key as SQS takes it for a group or for de-duplication: itself, or its hash if it is too long or not ASCII."""
    return key if _NAME.fullmatch(key) else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def store(calls: Calls, url: str, items: Sequence[Outgoing]) -> list[SendResult]:
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
        for index, error in _send(calls, url, items[batch[0].index].queue, batch):
            results[index] = SendResult(error=error)
    return results


def entry(index: int, item: Outgoing) -> Entry | CloudqError:
    """The item in the form in which it is sent, or why it can't be stored at all."""
    ordered = is_ordered(item.queue)
    refused = _refusal(item, ordered=ordered)
    if refused is not None:
        return refused
    dead = is_dead_letter_queue(item.queue)
    text, attributes = bodies.stored(item.body, item.failure, dead=dead, foreign=item.foreign)
    size = bodies.size(text, attributes)
    if size > MAX_BYTES:
        encoded = "" if bodies.ENCODING not in attributes else " once in base64, as it isn't a text that SQS takes"
        return MessageTooLarge(
            f"message {item.id!r} has {size:,} bytes{encoded}; SQS stores at most {MAX_BYTES:,}",
            size=size,
            limit=MAX_BYTES,
        )
    parameters: dict[str, Any] = {"Id": str(index), "MessageBody": text}
    if attributes:
        parameters["MessageAttributes"] = attributes
    if item.delay:
        parameters["DelaySeconds"] = seconds_up(item.delay)
    if ordered and item.ordering_key is not None:
        parameters["MessageGroupId"] = key_on_sqs(item.ordering_key)
        # FIFO queues want one of each message. The id is one: a send that is tried again stays one message.
        parameters["MessageDeduplicationId"] = key_on_sqs(item.native_id or item.id)
    elif item.fairness_key is not None:
        parameters["MessageGroupId"] = key_on_sqs(item.fairness_key)
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


def _send(calls: Calls, url: str, queue: str, batch: Sequence[Entry]) -> Iterator[tuple[int, Exception]]:
    """Makes the call. Gives the indices of the items that it doesn't say are stored, each with its error.

    What traces the SDK adds attributes to each entry behind our back, for which no room was left. A call that is too
    large by them was refused as a whole, so it is made again in halves.
    """
    entries = [_own(one.parameters) for one in batch]
    try:
        answer = calls.make("send_message_batch", queue, QueueUrl=url, Entries=entries)
    except Exception as error:  # noqa: BLE001 - whatever the SDK raised, each item of the call has it
        if len(batch) > 1 and (isinstance(error, MessageTooLarge) or too_many_attributes(error)):
            middle = len(batch) // 2
            yield from _send(calls, url, queue, batch[:middle])
            yield from _send(calls, url, queue, batch[middle:])
            return
        if len(batch) == 1:
            yield from _with_ours_alone(calls, url, queue, batch[0], sent=entries[0], error=error)
            return
        for one in batch:
            yield one.index, error
        return

    def is_stored(place: int, said: Mapping[str, Any]) -> bool:
        text: str = entries[place]["MessageBody"]
        digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()  # as the service's API has it
        return said.get("MD5OfMessageBody") == digest and bool(said.get("MessageId"))

    errors = unnamed_too(answer, [one["Id"] for one in entries], queue, done="stored", proof=is_stored)
    for one, sent, failure in zip(batch, entries, errors, strict=True):
        if failure is not None:
            yield from _with_ours_alone(calls, url, queue, one, sent=sent, error=failure)


def _with_ours_alone(
    calls: Calls, url: str, queue: str, one: Entry, *, sent: Mapping[str, Any], error: Exception
) -> Iterator[tuple[int, Exception]]:
    """Where a tracer's attributes make too many, those that other programs had set give way; else it is the error."""
    attributes = one.parameters.get("MessageAttributes", {})
    ours = bodies.ours_of(attributes)
    if len(ours) == len(attributes) or not too_many_attributes(error):
        yield one.index, _sized(error, sent)
        return
    logger.warning(
        "queue %r takes no more attributes, and something adds some: a copy goes without %s",
        queue,
        ", ".join(sorted(attributes.keys() - ours.keys())),
    )
    lighter = replace(one, parameters={**one.parameters, "MessageAttributes": ours})
    yield from _send(calls, url, queue, [lighter])


def _sized(error: Exception, sent: Mapping[str, Any]) -> Exception:
    """The error, with the bytes that were refused, those of a tracer too: by these the core shortens the details."""
    if isinstance(error, MessageTooLarge):
        error.size = bodies.size(sent["MessageBody"], sent.get("MessageAttributes", {}))
    return error


def _own(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters for one call. Tracers write into them, and what they wrote for one call isn't for the next."""
    own = parameters.copy()
    if attributes := own.get("MessageAttributes"):
        own["MessageAttributes"] = dict(attributes)
    return own


def _refusal(item: Outgoing, *, ordered: bool) -> CloudqError | None:
    if ordered and item.ordering_key is None:
        return UnsupportedError(
            f"queue {item.queue!r} keeps the order of an ordering_key, and message {item.id!r} has none",
            hint="pass ordering_key=..., or send to a queue without .fifo",
        )
    if ordered and item.delay:
        return UnsupportedError(f"queue {item.queue!r} is a FIFO queue, which delays no single message")
    if ordered and item.fairness_key is not None:
        return UnsupportedError(f"queue {item.queue!r} is a FIFO queue, which takes no fairness_key")
    if not ordered and item.ordering_key is not None:
        return UnsupportedError(
            f"queue {item.queue!r} keeps no order, so an ordering key is refused",
            hint="use a queue whose name ends in .fifo",
        )
    if item.delay > MAX_DELAY:
        return UnsupportedError(f"a delay of {item.delay} is longer than SQS's {MAX_DELAY}")
    return None
