"""`CloudQueue`: batches, retries of what failed for a moment, and order after a failure."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from cloudq.core.driver import Capabilities, Outgoing, SendResult
from cloudq.core.message import Message
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import (
    BackendError,
    BackendUnavailable,
    MessageTooLarge,
    PayloadError,
    PermissionDenied,
    Throttled,
    TransientError,
    UnsupportedError,
)
from cloudq.queues import storing
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.testing import FakeClock
from cloudq.testing.profiles import cloud_tasks_like, sqs_like
from tests.ids import shown
from tests.observing import Told
from tests.unit.worker.fakes import until


class Flaky(MemoryDriver):
    """A memory that stores, except what `fails` names an error for; it logs what each call carried."""

    def __init__(self, *, capabilities: Callable[[str], Capabilities] | None = None) -> None:
        super().__init__(clock=FakeClock(), capabilities=capabilities)
        self.calls: list[list[str]] = []
        self.tries: Counter[str] = Counter()
        self.fails: Callable[[Outgoing, int], Exception | None] = lambda item, tried: None
        self.raises: list[Exception] = []

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        self.calls.append([item.id for item in outgoing])
        if self.raises:
            raise self.raises.pop(0)
        results = []
        for item in outgoing:
            self.tries[item.id] += 1
            error = self.fails(item, self.tries[item.id])
            results.append(SendResult(error=error) if error else super().send([item])[0])
        return results

    def stored(self) -> list[str]:
        return [item.id for item in self.sent]


def messages(count: int, queue: str = "q", **fields: object) -> list[Message]:
    return [Message(id=f"{n}", task="t", queue=queue, payload={"n": n}, **fields) for n in range(count)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """The back-off of tests doesn't wait; how often it would is tested, how long is tenacity's."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)


def test_thousands_are_sent_in_full_batches():
    """As few calls as the backend's batch allows, each message once, in order."""
    driver = Flaky(capabilities=sqs_like)
    results = CloudQueue("q", driver).send_all(messages(2005))
    assert [None] * 2005 == [result.error for result in results]
    assert [10] * 200 + [5] == [len(call) for call in driver.calls]
    assert [str(n) for n in range(2005)] == driver.stored()


def test_a_batch_is_bounded_in_bytes_too():
    """One call carries no more than the backend takes."""
    driver = Flaky(capabilities=lambda queue: Capabilities(max_batch=100, max_body=1000, max_batch_bytes=1500))
    queue = CloudQueue("q", driver)
    big = [Message(id=str(n), task="t", queue="q", payload={"text": "x" * 500}) for n in range(5)]
    assert [None] * 5 == [result.error for result in queue.send_all(big)]
    assert [2, 2, 1] == [len(call) for call in driver.calls]


def test_a_transient_error_is_tried_again_for_its_items_alone():
    """What was stored isn't sent a second time, and the caller sees only success."""
    driver = Flaky()
    driver.fails = lambda item, tried: Throttled("slow down") if item.id in {"1", "3"} and tried < 3 else None
    results = CloudQueue("q", driver).send_all(messages(5))
    assert [None] * 5 == [result.error for result in results]
    assert [["0", "1", "2", "3", "4"], ["1", "3"], ["1", "3"]] == driver.calls
    assert {str(n): 1 for n in range(5)} == Counter(driver.stored())


def test_what_recovers_leaves_the_others_to_be_tried():
    """Each try carries only what still fails."""
    driver = Flaky()
    driver.fails = lambda item, tried: Throttled("slow down") if tried <= int(item.id) else None
    results = CloudQueue("q", driver).send_all(messages(4))
    assert [None] * 4 == [result.error for result in results]
    assert [["0", "1", "2", "3"], ["1", "2", "3"], ["2", "3"], ["3"]] == driver.calls


def test_a_transient_error_that_stays_is_reported():
    """After a bounded number of tries the item's own error comes back; the others are stored."""
    driver = Flaky()
    driver.fails = lambda item, tried: BackendUnavailable(f"{item.id} down") if item.id == "1" else None
    results = CloudQueue("q", driver).send_all(messages(3))
    assert ["None", "1 down", "None"] == [str(result.error) for result in results]
    assert 1 + storing.SEND_TRIES == driver.tries["1"]
    assert ["0", "2"] == driver.stored()


def test_a_lasting_error_is_not_tried_again():
    """A permission doesn't come back within seconds."""
    driver = Flaky()
    driver.fails = lambda item, tried: PermissionDenied("no") if item.id == "1" else None
    CloudQueue("q", driver).send_all(messages(3))
    assert 1 == len(driver.calls)


def test_a_call_that_raises_is_an_error_of_each_of_its_items():
    """A transient one is tried again; any other is reported for each item, and later batches are still tried."""
    driver = Flaky(capabilities=sqs_like)
    driver.raises = [Throttled("slow down"), Throttled("slow down")]
    assert [None] * 12 == [result.error for result in CloudQueue("q", driver).send_all(messages(12))]
    driver = Flaky(capabilities=sqs_like)
    driver.raises = [BackendError("broken")]
    results = CloudQueue("q", driver).send_all(messages(12))
    assert ["broken"] * 10 + ["None"] * 2 == [str(result.error) for result in results]


def test_a_single_send_retries_and_then_raises():
    """`send` and `submit` share the path of `send_all`."""
    driver = Flaky()
    queue = CloudQueue("q", driver)
    driver.fails = lambda item, tried: Throttled("slow down") if tried < 3 else None
    assert queue.send(messages(1)[0]).error is None
    assert ["0"] == driver.stored()
    driver.fails = lambda item, tried: PermissionDenied("no")
    with pytest.raises(PermissionDenied):
        queue.send(messages(1)[0])
    assert isinstance(queue.submit(messages(1)[0]).result(10).error, PermissionDenied)


def test_each_caller_raises_an_error_of_its_own():
    """A driver may give the same object to a whole batch, whose callers raise it in different threads."""
    driver = Flaky()
    shared = PermissionDenied("no")
    driver.fails = lambda item, tried: shared
    queue = CloudQueue("q", driver)
    raised = []
    for message in messages(2):
        with pytest.raises(PermissionDenied, match="no") as caught:
            queue.send(message)
        raised.append(caught.value)
    assert 3 == len(set(map(id, [shared, *raised])))


@pytest.mark.parametrize("error", [PermissionDenied("no"), Throttled("slow down")], ids=shown)
def test_after_a_failure_no_message_of_that_key_overtakes(error):
    """Later ones of the key aren't tried and say so; other keys go on, each in its order."""
    driver = Flaky()
    driver.fails = lambda item, tried: error if item.id == "2" else None
    keys = ["a", "b", "a", "b", "a", "b", "a"]
    batch = [Message(id=str(n), task="t", queue="q.fifo", ordering_key=key) for n, key in enumerate(keys)]
    results = CloudQueue("q.fifo", driver).send_all(batch)
    assert ["0", "1", "3", "5"] == driver.stored()
    assert error is results[2].error
    for index in (4, 6):
        assert isinstance(results[index].error, TransientError)
        assert "must not overtake" in str(results[index].error)
    assert 0 == driver.tries["4"] + driver.tries["6"]


def test_a_message_that_is_refused_before_it_is_sent_holds_its_key_up_too():
    """Too large is as much a failure as any."""
    driver = Flaky()
    small, large = {"x": 1}, {"x": "y" * 2_000_000}
    batch = [
        Message(id=str(n), task="t", queue="q.fifo", ordering_key=key, payload=payload)
        for n, (key, payload) in enumerate([("a", small), ("a", large), ("b", small), ("a", small)])
    ]
    results = CloudQueue("q.fifo", driver).send_all(batch)
    assert [type(None), MessageTooLarge, type(None), TransientError] == [type(result.error) for result in results]
    assert ["0", "2"] == driver.stored()


def test_one_message_of_a_key_flies_at_a_time():
    """A batch never carries two of a key, else a partial failure could turn them round."""
    driver = Flaky(capabilities=sqs_like)
    keys = ["a", "b", "a", "c", "a"]
    batch = [Message(id=str(n), task="t", queue="q.fifo", ordering_key=key) for n, key in enumerate(keys)]
    CloudQueue("q.fifo", driver).send_all(batch)
    assert [["0", "1"], ["2", "3"], ["4"]] == driver.calls


def test_what_cannot_be_encoded_hides_no_other():
    """A payload that is nested too deep fails alone."""
    deep: object = 1
    for _ in range(300):
        deep = [deep]
    batch = [Message(id="a", task="t", queue="q", payload={"x": deep}), *messages(2)]
    driver = Flaky()
    results = CloudQueue("q", driver).send_all(batch)
    assert [PayloadError, type(None), type(None)] == [type(result.error) for result in results]
    assert ["0", "1"] == driver.stored()


def test_a_message_too_large_says_how_large():
    """It is refused here, by the queue's own limit."""
    queue = CloudQueue("q", MemoryDriver(clock=FakeClock(), max_body=500))
    with pytest.raises(MessageTooLarge, match=r"'t' has 1,\d\d\d bytes; queue 'q' stores at most 500"):
        queue.send(Message(id="1", task="t", queue="q", payload={"x": "y" * 1000}))


def test_threads_share_calls():
    """Whoever arrives while a call is in flight joins the next; each gets its own result."""
    entered, release = threading.Event(), threading.Event()

    class Slow(Flaky):
        def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
            if not self.calls:
                entered.set()
                assert release.wait(60)
            return super().send(outgoing)

    driver = Slow()
    driver.fails = lambda item, tried: PermissionDenied("no") if item.id == "3" else None
    queue = CloudQueue("q", driver)
    outcomes: dict[str, object] = {}

    def send(message: Message) -> None:
        try:
            outcomes[message.id] = queue.send(message).error
        except PermissionDenied as error:
            outcomes[message.id] = error

    batch = messages(8)
    threads = [threading.Thread(target=send, args=(message,)) for message in batch]
    threads[0].start()
    assert entered.wait(60)
    for thread in threads[1:]:
        thread.start()
    until(lambda: len(queue._batcher._entries) == 8)
    release.set()
    for thread in threads:
        thread.join(60)
    assert {"3"} == {id_ for id_, error in outcomes.items() if error is not None}
    assert 8 == len(outcomes)
    assert len(driver.calls) < 8, "calls were shared"


def test_a_dead_letter_queue_is_not_sent_to():
    """Its name is reserved on every backend."""
    queue = CloudQueue("q-dlq", MemoryDriver(clock=FakeClock()))
    with pytest.raises(UnsupportedError, match="dead-letter queue"):
        queue.send(Message(id="1", task="t", queue="q-dlq"))


def test_stats_and_purge_are_the_drivers():
    """The handle passes them on."""
    driver = MemoryDriver(clock=FakeClock())
    queue = CloudQueue("q", driver)
    queue.send_all(messages(3))
    assert 3 == queue.stats().ready
    assert 3 == queue.purge()
    assert 0 == queue.stats().ready
    assert "CloudQueue('q')" == repr(queue)


def test_time_is_the_apps_and_batching_is_in_real_time():
    """A message's delay counts on the queue's clock; a flusher thread ends by itself although that clock stands."""
    clock = FakeClock()
    driver = MemoryDriver(clock=clock)
    queue = CloudQueue("q", driver, clock=clock)
    due = clock.now() + timedelta(hours=1)
    assert queue.submit(Message(id="1", task="t", queue="q", not_before=due)).result(10).error is None
    assert (0, 1) == (queue.stats().ready, queue.stats().delayed)
    assert 0 == clock.waiting


def test_a_task_that_may_run_longer_than_a_push_is_waited_for_is_refused():
    """Where a lease can't be extended, a longer run would be handed to somebody else. Nothing is stored."""
    driver = MemoryDriver(clock=FakeClock(), capabilities=cloud_tasks_like)
    queue = CloudQueue("q", driver, clock=FakeClock())
    queue.send(Message(id="1", task="t", queue="q", time_limit=timedelta(minutes=30)))
    with pytest.raises(UnsupportedError, match="waits 30 min at most") as caught:
        queue.send(Message(id="2", task="shop.report", queue="q", time_limit=timedelta(minutes=31)))
    assert ("shop.report" in str(caught.value), "steps" in str(caught.value.hint)) == (True, True)
    assert 1 == len(driver.sent)
    elsewhere = CloudQueue("q", MemoryDriver(clock=FakeClock(), capabilities=sqs_like), clock=FakeClock())
    assert elsewhere.send(Message(id="2", task="t", queue="q", time_limit=timedelta(hours=9))).error is None


def test_an_observer_is_told_of_each_message_that_is_sent() -> None:
    """Stored, or not, or there already; by each way of sending."""
    driver, told = Flaky(), Told()
    queue = CloudQueue("q", driver, clock=FakeClock(), observer=told)
    one, two, three = messages(3)
    queue.send(one)
    queue.submit(two).result()
    driver.fails = lambda item, tried: PermissionDenied("no") if item.id == "2" else None
    queue.send_all([three, one])
    with pytest.raises(PermissionDenied):
        queue.send(three)
    assert ["stored", "stored", "PermissionDenied", "stored", "PermissionDenied"] == [what[2] for what in told.log]
    assert {"sent"} == {what[0] for what in told.log}


def test_what_is_refused_before_it_is_tried_is_not_sent() -> None:
    """Nor are copies, which cloudq makes."""
    told = Told()
    queue = CloudQueue("q", MemoryDriver(clock=FakeClock()), clock=FakeClock(), observer=told)
    with pytest.raises(UnsupportedError):
        queue.send(Message(id="1", task="t", queue="q", ordering_key="k"))
    queue.store_copies([queue.prepared(messages(1)[0])])
    assert [] == told.log
