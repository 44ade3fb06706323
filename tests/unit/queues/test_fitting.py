"""A copy's details are shortened step by step, rather than that it is refused."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from cloudq.core.driver import Outgoing, SendResult
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import MessageTooLarge
from cloudq.queues.claim_check import ClaimCheck
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.sizes import REMEMBERED
from cloudq.testing import FakeClock
from cloudq.testing.profiles import sqs_like

NOW = datetime(2026, 11, 29, tzinfo=UTC)
FAILURE = Failure(
    reason="no such order: 42",
    error_type="ValueError",
    error_message="m" * 500,
    traceback="t" * 3_000,
    attempts=5,
    deliveries=5,
    first_at=NOW,
    generation=3,
)
BESIDE = 20
BARE = BESIDE + len(replace(FAILURE, error_type=None, error_message=None, traceback=None).encode())


class Narrow(MemoryDriver):
    """A memory whose queues take no more than the test says, by the service's count."""

    def __init__(self, *, says: bool = True) -> None:
        self.clock = FakeClock()
        super().__init__(clock=self.clock, capabilities=sqs_like)
        self.limits: dict[str, int] = {}
        self.says = says
        self.stored: list[Outgoing] = []
        self.calls = 0

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        self.calls += 1
        return [self.answer(item) for item in outgoing]

    def answer(self, item: Outgoing) -> SendResult:
        size = len(item.body) + (0 if item.failure is None else BESIDE + len(item.failure.encode()))
        limit = self.limits.get(item.queue, 1024 * 1024)
        if size > limit:
            numbers = {"size": size, "limit": limit} if self.says else {}
            return SendResult(error=MessageTooLarge("too large", hint="make the queue larger", **numbers))
        self.stored.append(item)
        return SendResult()

    def queue(self, claim_check: ClaimCheck | None = None) -> CloudQueue:
        return CloudQueue("q", self, clock=self.clock, claim_check=claim_check)


def copy(size: int, queue: str = "q-dlq", failure: Failure | None = FAILURE, native_id: str | None = "n") -> Outgoing:
    return Outgoing(id="1", queue=queue, body=b"x" * size, failure=failure, native_id=native_id)


@pytest.mark.parametrize("says", [True, False], ids=["it says how much", "it says nothing"])
def test_a_dead_letter_keeps_as_much_as_fits(says: bool):
    """The body is whole; the traceback goes first, then the message, then all but the reason, then the reason."""
    kept = []
    for room in (5_000, 1_500, 400, BARE, 0):
        driver = Narrow(says=says)
        driver.limits["q-dlq"] = 10_000 + room
        (result,) = driver.queue().store_copies([copy(10_000)])
        assert result.error is None
        (stored,) = driver.stored
        assert 10_000 == len(stored.body)
        kept.append(stored.failure)
    whole, no_traceback, little, reason, nothing = kept
    assert whole == FAILURE
    assert no_traceback is not None
    assert no_traceback.error_message == FAILURE.error_message
    assert len(no_traceback.traceback or "") < 1_000
    assert little is not None
    assert (little.traceback, little.reason, little.attempts) == (None, FAILURE.reason, 5)
    assert reason is not None
    assert (reason.reason, reason.error_type, reason.generation) == (FAILURE.reason, None, 3)
    assert nothing is None


def test_without_room_for_the_reason_the_log_has_it(caplog):
    """At the very limit nothing but the body is stored."""
    driver = Narrow()
    driver.limits["q-dlq"] = 10_000
    with caplog.at_level(logging.WARNING, logger="cloudq"):
        driver.queue().store_copies([copy(10_000)])
    (said,) = [record.getMessage() for record in caplog.records]
    assert FAILURE.reason in said
    assert "'q-dlq'" in said


def test_what_the_queue_takes_is_known_after_the_first_refusal():
    """Later copies fit by their first call, until the hour is over; the queue beside it is another one."""
    driver = Narrow()
    queue = driver.queue()
    driver.limits["q-dlq"] = 11_000
    queue.store_copies([copy(10_000)])
    assert 2 == driver.calls
    queue.store_copies([copy(10_500)])
    assert 3 == driver.calls
    queue.store_copies([copy(30_000, queue="q")])
    assert 4 == driver.calls
    assert [FAILURE] == [item.failure for item in driver.stored if item.queue == "q"]
    driver.clock.advance(REMEMBERED)
    driver.limits.clear()
    queue.store_copies([copy(10_500)])
    assert FAILURE == driver.stored[-1].failure


def test_a_body_that_does_not_fit_is_refused_by_few_calls():
    """Nothing is left to shorten; it was told once, and is asked again by a single call each time."""
    driver = Narrow()
    queue = driver.queue()
    driver.limits["q-dlq"] = 5_000
    for _ in range(3):
        (result,) = queue.store_copies([copy(10_000)])
        assert isinstance(result.error, MessageTooLarge)
    assert 3 == driver.calls


def test_one_that_is_too_large_leaves_the_others_alone():
    """Of a batch only what was refused is shortened, and stored once."""
    driver = Narrow()
    driver.limits["q-dlq"] = 10_000
    results = driver.queue().store_copies([copy(100), copy(9_900), copy(200)])
    assert [None] * 3 == [result.error for result in results]
    assert {100: FAILURE, 200: FAILURE} == {len(one.body): one.failure for one in driver.stored if one.failure}
    assert 3 == len(driver.stored)


@pytest.mark.parametrize("name", ["waiting_since", "unknown_since"])
def test_a_copy_that_waits_never_forgets_since_when(name: str):
    """Its patience would begin anew with each copy; so it is refused, and goes by visibility."""
    driver = Narrow()
    driver.limits["q"] = 10_050
    failure = Failure(reason="r" * 200, **{name: NOW})
    (result,) = driver.queue().store_copies([copy(10_000, queue="q", failure=failure)])
    assert isinstance(result.error, MessageTooLarge)
    driver.limits["q"] = 10_300
    (result,) = driver.queue().store_copies([copy(10_000, queue="q", failure=failure)])
    assert result.error is None
    assert driver.stored[-1].failure is not None
    assert NOW == getattr(driver.stored[-1].failure, name)


def message(size: int) -> Message:
    return Message(id="1", task="t", queue="q", payload={"text": "x" * size})


def test_a_send_is_refused_early_once_the_limit_is_known():
    """The second one makes no call, and says how much the queue takes and what to do about it."""
    driver = Narrow()
    driver.limits["q"] = 65_536
    queue = driver.queue()
    for calls in (1, 1):
        with pytest.raises(MessageTooLarge, match=r"large|at most 65,536") as refused:
            queue.send(message(70_000))
        assert (calls, "make the queue larger") == (driver.calls, refused.value.hint)
    queue.send(message(60_000))
    driver.clock.advance(REMEMBERED)
    driver.limits.clear()
    queue.send(message(70_000))
    assert 3 == driver.calls


def test_a_claim_check_takes_what_the_queue_refuses(tmp_path: Path):
    """The first one by a second call, the next ones, which leave too little room for a failure, at once."""
    driver = Narrow()
    driver.limits["q"] = 65_536
    queue = driver.queue(ClaimCheck(f"file://{tmp_path}", clock=driver.clock))
    assert queue.submit(message(70_000)).result(10).error is None
    assert (2, 1) == (driver.calls, len(driver.stored))
    queue.send(message(60_000))
    assert (3, 2) == (driver.calls, len(driver.stored))
    assert all(b"dataref" in item.body and len(item.body) < 2_000 for item in driver.stored)
    queue.send(message(60_000))
    assert [None, None] == [result.error for result in queue.send_all([message(80_000), message(10)])]
    assert [len(item.body) < 2_000 for item in driver.stored] == [True] * 5


def test_shortening_ends_with_the_time_of_the_operation():
    """A queue that only ever says that it is too large is asked a few times, not for ever, and in time."""
    driver = Narrow(says=False)
    driver.limits["q-dlq"] = 1
    slow = driver.send

    def send(outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        driver.clock.advance(timedelta(seconds=5))
        return slow(outgoing)

    driver.send = send  # type: ignore[method-assign]
    (result,) = driver.queue().store_copies([copy(100)])
    assert isinstance(result.error, MessageTooLarge)
    assert driver.calls <= 3
