"""What the sends of an app have in common: results in the user's terms, and many to several queues."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cloudq import App
from cloudq.core.driver import SendResult
from cloudq.core.message import Message
from cloudq.errors import BackendUnavailable, QueueNotFound
from cloudq.tasks.receipts import receipt_of
from cloudq.tasks.sending import SendManyError, ran, send_all, sent


def message(id: str = "m", queue: str = "q") -> Message:  # noqa: A002 - the message's
    return Message(id=id, task="t", queue=queue)


class Queue:
    """Stores what it is given, but for some."""

    def __init__(self, failing: Sequence[str] = ()) -> None:
        self.calls: list[list[str]] = []
        self._failing = failing

    def send_all(self, messages: Sequence[Message]) -> list[SendResult]:
        self.calls.append([one.id for one in messages])
        return [SendResult(error=BackendUnavailable(one.id) if one.id in self._failing else None) for one in messages]


def test_what_is_stored_has_a_receipt_where_the_backend_gives_one() -> None:
    """And the id under which it is stored: of a duplicate, that of the first."""
    one = sent(message(), SendResult(receipt="7", duplicate=False))
    assert ("m", False, receipt_of("q", "7")) == (one.id, one.duplicate, one.receipt)
    one = sent(message(), SendResult(duplicate=True, original_id="first"))
    assert ("first", True, None) == (one.id, one.duplicate, one.receipt)


def test_what_is_not_stored_raises_an_error_of_its_own() -> None:
    """Several callers may share one result."""
    error = BackendUnavailable("down")
    with pytest.raises(BackendUnavailable, match="down") as raised:
        sent(message(), SendResult(error=error))
    assert raised.value is not error


def test_what_ran_at_once_has_a_receipt() -> None:
    """Code that keeps receipts works in eager mode, too."""
    assert (False, receipt_of("q", "eager-m")) == (ran(message()).duplicate, ran(message()).receipt)


def test_many_to_several_queues_are_a_call_a_queue_and_keep_their_order() -> None:
    """The failure of some, or of a whole queue, hides no other's success."""
    queues = {"a": Queue(failing=["3"]), "b": Queue()}

    def queue(name: str) -> Queue:
        if name not in queues:
            raise QueueNotFound(name)
        return queues[name]

    messages = [message(str(number), "abc"[number % 3]) for number in range(6)]
    results = send_all(messages, queue)  # type: ignore[arg-type]  # as much of a queue as it uses
    assert [["0", "3"]] == queues["a"].calls
    assert [["1", "4"]] == queues["b"].calls
    kinds = [type(one).__name__ for one in results]
    assert ["Sent", "Sent", "QueueNotFound", "BackendUnavailable", "Sent", "QueueNotFound"] == kinds


def test_the_error_of_a_send_many_knows_what_failed() -> None:
    """It says how many, and has the outcome of every call and the calls to try again."""
    call = App("memory://").task("t")(lambda: None).call()
    results = [BackendUnavailable("down"), sent(message(), SendResult())]
    error = SendManyError(results, [call])
    assert "1 of 2 calls" in str(error)
    assert (results, [call]) == (error.results, error.failed)
