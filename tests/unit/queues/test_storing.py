"""`Storing`: batches, and one deadline for each operation, whatever the backend does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.core.driver import Capabilities, Outgoing, SendResult
from cloudq.core.message import Message, is_ordered
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendUnavailable, TransientError
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.storing import CALLS_A_DEADLINE
from cloudq.testing import FakeClock
from cloudq.testing.profiles import cloud_tasks_like, service_bus_like, sqs_like

SECOND = timedelta(seconds=1)
LIKE: dict[str, Callable[[str], Capabilities]] = {
    "memory": lambda queue: Capabilities(max_batch=500, max_body=100_000, ordering=is_ordered(queue)),
    "sqs": sqs_like,
    "cloud_tasks": cloud_tasks_like,
    "service_bus": service_bus_like,
}


class Timed(MemoryDriver):
    """A memory whose calls take as long as the test says; a call that takes all its time fails."""

    def __init__(self, able: Callable[[str], Capabilities], call_timeout: timedelta) -> None:
        self.clock = FakeClock()
        super().__init__(clock=self.clock, capabilities=lambda queue: replace(able(queue), call_timeout=call_timeout))
        self.call_timeout = call_timeout
        self.takes: Callable[[int], timedelta] = lambda call: call_timeout
        self.fails: Callable[[int], bool] = lambda call: False
        self.calls = 0

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        self.calls += 1
        taken = min(self.takes(self.calls), self.call_timeout)
        self.clock.advance(taken)
        if taken == self.call_timeout or self.fails(self.calls):
            raise BackendUnavailable("silent; it may have been stored")
        return super().send(outgoing)

    def queue(self, name: str) -> CloudQueue:
        return CloudQueue(name, self, clock=self.clock)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """A back-off takes no real time; what it would take isn't the subject here."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)


def messages(count: int, queue: str) -> list[Message]:
    return [
        Message(id=f"{n}", task="t", queue=queue, ordering_key=f"{n % 7}" if is_ordered(queue) else None)
        for n in range(count)
    ]


def one(queue: CloudQueue) -> list[Exception | None]:
    try:
        return [queue.send(messages(1, queue.name)[0]).error]
    except BackendUnavailable as error:
        return [error]


def submitted(queue: CloudQueue) -> list[Exception | None]:
    return [queue.submit(messages(1, queue.name)[0]).result(20).error]


def many(queue: CloudQueue) -> list[Exception | None]:
    return [result.error for result in queue.send_all(messages(1200, queue.name))]


def copies(queue: CloudQueue) -> list[Exception | None]:
    ready = [queue.prepared(message) for message in messages(1200, queue.name)]
    return [result.error for result in queue.store_copies(ready)]


@pytest.mark.parametrize("call_timeout", [SECOND, 5 * SECOND, 60 * SECOND], ids=str)
@pytest.mark.parametrize("operation", [one, submitted, many, copies])
@pytest.mark.parametrize(
    ("like", "name"),
    [(like, name) for like in LIKE for name in ("q", "q.fifo") if (like, name) != ("cloud_tasks", "q.fifo")],
)
def test_against_a_silent_backend_an_operation_ends_by_its_deadline(like, name, operation, call_timeout):
    """However many messages it is about: three times the longest call, with as many tries as fit in."""
    driver = Timed(LIKE[like], call_timeout)
    start = driver.clock.elapsed()
    errors = operation(driver.queue(name))
    took = driver.clock.elapsed() - start
    assert all(isinstance(error, TransientError) for error in errors)
    assert 2 * call_timeout <= took <= CALLS_A_DEADLINE * call_timeout
    assert [] == list(driver.sent)


def test_a_try_that_might_outlast_the_deadline_is_not_begun():
    """After 12 s of 15 a call of up to 5 s no longer fits, though each took 4 so far."""
    driver = Timed(LIKE["memory"], 5 * SECOND)
    driver.takes, driver.fails = lambda call: 4 * SECOND, lambda call: True
    assert [BackendUnavailable] == [type(error) for error in one(driver.queue("q"))]
    assert (3, 12 * SECOND) == (driver.calls, driver.clock.elapsed())
    driver.calls, driver.fails = 0, lambda call: call < 3
    assert [None] == one(driver.queue("q"))
    assert 3 == driver.calls


def test_a_long_send_goes_on_while_the_backend_stores():
    """120 batches of 4 s each take longer than any deadline, and that is no failure."""
    driver = Timed(sqs_like, 5 * SECOND)
    driver.takes = lambda call: 4 * SECOND
    assert [None] * 1200 == many(driver.queue("q"))
    assert 120 == driver.calls


def test_a_backend_that_falls_silent_in_the_middle_ends_a_long_send():
    """By the deadline from what was stored last; the rest says that it was not tried."""
    driver = Timed(sqs_like, 5 * SECOND)
    driver.takes = lambda call: SECOND if call <= 40 else 5 * SECOND
    errors = many(driver.queue("q"))
    assert [None] * 400 == errors[:400]
    assert 55 * SECOND == driver.clock.elapsed()
    assert {"silent; it may have been stored"} == {str(error) for error in errors[400:420]}
    assert {"not tried: for 15 s nothing could be stored before it"} == {error.message for error in errors[420:]}
    assert "timeout" in str(errors[-1].hint)


def test_a_blip_in_the_middle_of_a_long_send_is_no_end():
    """Each deadline begins anew with what is stored."""
    driver = Timed(sqs_like, 5 * SECOND)
    driver.takes = lambda call: 5 * SECOND if call % 3 == 0 else SECOND
    assert [None] * 1200 == many(driver.queue("q"))


def test_whoever_waits_behind_calls_without_an_answer_gives_up_in_time():
    """Four calls hang; a fifth caller is told in time, and nothing of it is sent later."""
    hung, entered = threading.Event(), threading.Semaphore(0)

    class Hanging(MemoryDriver):
        def __init__(self) -> None:
            able = Capabilities(max_batch=1, max_body=10_000, call_timeout=timedelta(seconds=0.2))
            super().__init__(capabilities=lambda queue: able)

        def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
            entered.release()
            assert hung.wait(60)
            return super().send(outgoing)

    driver = Hanging()
    queue = CloudQueue("q", driver, clock=FakeClock())
    batcher = queue._batcher
    longest, batcher._max_wait = batcher._max_wait, timedelta(minutes=1)  # flushers may be slow to start
    first = [queue.submit(message) for message in messages(4, "q")]
    for _ in first:
        assert entered.acquire(timeout=60)
    batcher._max_wait = longest
    behind = queue.submit(Message(id="behind", task="t", queue="q"))
    with pytest.raises(BackendUnavailable, match=r"not sent: for 0\.4 s the calls before it got no answer"):
        queue.send(Message(id="late", task="t", queue="q"))
    hung.set()
    assert [None] * 4 == [future.result(60).error for future in first]
    with pytest.raises(BackendUnavailable, match="not sent"):
        behind.result(60)
    assert {"0", "1", "2", "3"} == {item.id for item in driver.sent}
