"""What an App's sends have in common: results in the user's terms, and many to several queues."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cloudq import errors
from cloudq.core.driver import SendResult
from cloudq.core.message import Message
from cloudq.core.own_copy import own_copy
from cloudq.core.tracking import is_tracked
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.tasks.receipts import receipt_of
from cloudq.tasks.sent import Sent
from cloudq.tasks.task import Call


class SendManyError(errors.SendManyError):
    """Some calls of a `send_many` failed; every call was tried.

    Attributes:
        results: One entry a call, in order: a `Sent`, or the error of that call.
        failed: The calls that failed, in order, ready to be passed to `send_many` again.
    """

    results: list[Sent | Exception]
    failed: list[Call]

    def __init__(self, results: Sequence[Sent | Exception], failed: Sequence[Call]) -> None:
        super().__init__(results, failed)


def sent(message: Message, result: SendResult) -> Sent:
    """What the user learns of a message that is stored.

    Raises:
        Exception: It isn't: the result's error.
    """
    if result.error is not None:
        raise own_copy(result.error)
    noted = message.id if message.extensions and is_tracked(message) else None
    receipt = None if result.receipt is None else receipt_of(message.queue, result.receipt, noted)
    return Sent(id=result.original_id or message.id, duplicate=result.duplicate, receipt=receipt)


def ran(message: Message) -> Sent:
    """What the user learns of a message that ran at once, in eager mode: it has a receipt, and can't be cancelled."""
    return Sent(id=message.id, duplicate=False, receipt=receipt_of(message.queue, f"eager-{message.id}"))


def send_all(messages: Sequence[Message], queue: Callable[[str], CloudQueue]) -> list[Sent | Exception]:
    """Stores messages for any queues, with few calls. Tries all; a `Sent` or an error each, in order."""
    results: dict[int, Sent | Exception] = {}
    for name, indexes in _by_queue(messages).items():
        stored = _store(name, [messages[index] for index in indexes], queue)
        for index, result in zip(indexes, stored, strict=True):
            results[index] = result.error or sent(messages[index], result)
    return [results[index] for index in range(len(messages))]


def _store(name: str, messages: Sequence[Message], queue: Callable[[str], CloudQueue]) -> Sequence[SendResult]:
    """Tries all; a queue that can't be opened fails its own messages only."""
    try:
        return queue(name).send_all(messages)
    except Exception as error:  # noqa: BLE001 - reported for each call: the failure of some never hides the others
        return [SendResult(error=error)] * len(messages)


def _by_queue(messages: Sequence[Message]) -> dict[str, list[int]]:
    indexes: dict[str, list[int]] = {}
    for index, message in enumerate(messages):
        indexes.setdefault(message.queue, []).append(index)
    return indexes
