"""Behaviours of dead letters: what is kept, and what can be done with it. The same natively and by copy."""

from __future__ import annotations

from msgspec.structs import replace
from tenacity import stop_after_attempt

from cloudq.core.delivery import Delivery
from cloudq.core.details import worker_name
from cloudq.core.driver import Ack, DeadLetterQueue, Final, Release
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered
from cloudq.core.plan import COPY_FAILED_DELAY, plan
from cloudq.core.policy import RetryPolicy
from cloudq.errors import LeaseLost
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.dead_letters import DeadLetters
from cloudq.testing.conformance.bench import Bench, errors_of
from cloudq.testing.conformance.faults import FailingSends

POISON = b"\x00\xff{not json\r\n"


class DeadLettersKept:
    """Keeping what failed for good."""

    def test_a_dead_letter_says_why(self, bench: Bench) -> None:
        """Reason, error, traceback's end, counts, times and worker are kept as they were given."""
        bench.send()
        failure = bench.failure("no such order")
        bench.carry_out(bench.one(), DeadLettered(reason=failure.reason, failure=failure))
        (dead,) = bench.dead()
        assert dead.failure is not None
        assert replace(dead.failure, generation=0) == failure

    def test_a_task_that_fails_leaves_its_error(self, bench: Bench) -> None:
        """The dead letter of a task that raised names the exception, the end of its traceback and the worker."""
        start = bench.now()
        bench.send()
        bench.processor(_pay, RetryPolicy(stop=stop_after_attempt(1))).work()
        (dead,) = bench.dead()
        failure = dead.failure
        assert failure is not None
        assert failure.reason == "gave up after 1 attempt: ValueError: no such order: 42"
        assert (failure.error_type, failure.error_message) == ("ValueError", "no such order: 42")
        assert (failure.traceback or "").rstrip().endswith("ValueError: no such order: 42")
        assert "in _pay" in (failure.traceback or "")
        assert (failure.attempts, failure.deliveries, failure.worker) == (1, 1, worker_name())
        assert failure.first_at == failure.last_at
        assert start <= (failure.last_at or start) <= bench.now()

    def test_the_first_failure_s_time_is_kept_with_the_dead_letter(self, bench: Bench) -> None:
        """A dead letter says when the message first failed, or, where that isn't kept, when it failed last."""
        start = bench.now()
        bench.send()
        worker = bench.processor(_pay, RetryPolicy(stop=stop_after_attempt(2), wait=lambda _: 0))
        worker.work()
        bench.advance(bench.unit)
        worker.work()
        (dead,) = bench.dead()
        assert dead.failure is not None
        assert dead.failure.first_at is not None
        assert dead.failure.last_at is not None
        assert start <= dead.failure.first_at <= dead.failure.last_at
        assert dead.failure.last_at >= start + bench.unit

    def test_a_dead_letter_says_what_it_was(self, bench: Bench) -> None:
        """Queue, id and message are those of the message that died; since when it is dead is true, if said."""
        start = bench.now()
        message = bench.send(payload={"n": 1})
        bench.kill(bench.one())
        (dead,) = bench.dead()
        assert (dead.queue, dead.id, dead.message) == (bench.queue, message.id, message)
        assert dead.dead_at is None or start - bench.unit <= dead.dead_at <= bench.now() + bench.unit

    def test_a_dead_letter_is_not_received_any_more(self, bench: Bench) -> None:
        """A dead-lettered message must not be handed over again, not even after its lease has ended."""
        bench.send()
        bench.kill(bench.one(lease=bench.unit))
        bench.advance(bench.unit + bench.grain)
        bench.nothing()

    def test_the_body_is_kept_byte_for_byte(self, bench: Bench) -> None:
        """The dead letter's body is the original's, to the byte."""
        body = bench.prepared(bench.message(payload={"text": "ä \N{SNOWMAN}"})).body + b"\n  "
        bench.put_raw(body)
        delivery = bench.one()
        assert delivery.message is not None
        bench.kill(delivery)
        assert [dead.body for dead in bench.dead()] == [body]

    def test_a_poison_body_is_kept_byte_for_byte(self, bench: Bench) -> None:
        """Also a body that can't be decoded is unchanged in the dead-letter queue, with no message."""
        bench.put_raw(POISON)
        bench.kill(bench.one())
        assert [(dead.body, dead.message) for dead in bench.dead()] == [(POISON, None)]

    def test_the_largest_message_with_the_largest_failure_is_kept(self, bench: Bench) -> None:
        """A body of `max_body` bytes is dead-lettered with a failure of nearly 16 KiB: both are there."""
        bench.send(bench.message_of(bench.capabilities.max_body))
        delivery = bench.one()
        failure = replace(bench.failure(), traceback="\N{SNOWMAN}" * 4_000)
        carried = bench.carry_out(delivery, DeadLettered(reason="large", failure=failure))
        assert (carried.copied, carried.error) == (True, None)
        (dead,) = bench.dead()
        assert dead.body == delivery.body
        assert dead.failure is not None
        assert dead.failure.reason == failure.reason

    def test_what_no_cloudq_could_send_is_put_away(self, bench: Bench) -> None:
        """A body that fills the room for details is dead-lettered unchanged; of its details as much is kept as fits."""
        body = b"{" * (bench.capabilities.max_body + 15 * 1024)
        bench.put_raw(body)
        delivery = bench.one()
        failure = replace(bench.failure("why"), traceback="\N{SNOWMAN}" * 4_000)
        made = plan(delivery, DeadLettered(reason="why", failure=failure), bench.capabilities, bench.now())
        queue = CloudQueue(bench.queue, bench.driver, clock=bench.clock)
        assert [result.error for result in queue.store_copies(made.copies)] == [None] * len(made.copies)
        assert bench.settle(delivery, made.final) is None
        (dead,) = bench.dead()
        assert (dead.body, dead.failure and dead.failure.reason) == (body, "why")

    def test_a_dead_letter_whose_copy_fails_loses_nothing(self, bench: Bench) -> None:
        """If the copy can't be stored, the message is handed over again instead. Natively there is no copy."""
        message = bench.send()
        outcome = DeadLettered(reason="broken", failure=bench.failure())
        carried = bench.carry_out(bench.one(lease=bench.unit), outcome, driver=FailingSends(bench.driver))
        assert carried.error is None
        assert carried.copied is bench.capabilities.native_dead_letter
        assert len(bench.dead()) == (1 if bench.capabilities.native_dead_letter else 0)
        if not carried.copied and bench.affordable(COPY_FAILED_DELAY):
            bench.advance(COPY_FAILED_DELAY + bench.grain)
            assert bench.one().id == message.id

    def test_dead_letters_are_listed_oldest_first_page_by_page(self, bench: Bench) -> None:
        """Pages follow each other without gap or repetition, in the order of dying."""
        messages = bench.send_and_kill(5)
        queue = bench.driver.dead_letters(bench.queue)
        pages = []
        after: str | None = None
        while page := queue.peek(limit=2, after=after):
            pages.append([dead.id for dead in page])
            after = page[-1].key
        ids = [message.id for message in messages]
        assert pages == [ids[:2], ids[2:4], ids[4:]]

    def test_looking_takes_nothing(self, bench: Bench) -> None:
        """Listing and getting dead letters leaves them as they are, for others too."""
        bench.send_and_kill(2)
        queue = bench.driver.dead_letters(bench.queue)
        first = queue.peek(limit=10)
        assert queue.get(first[0].key) == first[0]
        assert queue.peek(limit=10) == first
        assert len(_take(bench, queue)) == 2

    def test_a_dead_letter_is_found_by_its_key(self, bench: Bench) -> None:
        """`get` finds each dead letter by its key; a key that is gone, or never was, gives None."""
        bench.send_and_kill(2)
        queue = bench.driver.dead_letters(bench.queue)
        first, second = queue.peek(limit=10)
        assert [queue.get(dead.key) for dead in (first, second)] == [first, second]
        queue.purge([first.key])
        assert queue.get(first.key) is None
        assert queue.get("no-such-key") is None

    def test_a_taken_dead_letter_is_exclusive(self, bench: Bench) -> None:
        """While one client has taken a dead letter no other can; it says why it died."""
        bench.send_and_kill(1)
        queue = bench.driver.dead_letters(bench.queue)
        (taken,) = _take(bench, queue)
        assert taken.failure is not None
        assert taken.failure.reason == "reason 0"
        again = _take(bench, bench.client().dead_letters(bench.queue))
        if bench.capabilities.dead_letter_leases:
            assert again == []
            return
        # Two redrives at once take the same one, then. The copy that is made later has the other one's name.
        assert [delivery.id for delivery in again] == [taken.id]
        assert bench.redrive_amid_another() == 1
        assert [delivery.id for delivery in bench.receive(3)] == [taken.id]

    def test_a_dead_letter_that_is_not_settled_stays(self, bench: Bench) -> None:
        """A dead letter that was taken and not settled in time is in the dead-letter queue as before."""
        (message,) = bench.send_and_kill(1)
        queue = bench.driver.dead_letters(bench.queue)
        before = bench.dead()
        (taken,) = queue.take(None, limit=10, lease=bench.unit)
        bench.advance(bench.unit + bench.grain)
        assert bench.dead() == before
        assert errors_of(queue.settle([Final(lease=taken.lease, step=Release())])) == [LeaseLost]
        assert [delivery.id for delivery in _take(bench, queue)] == [message.id]

    def test_chosen_dead_letters_are_taken(self, bench: Bench) -> None:
        """`take` leases those of the given keys that exist, and no others; with a limit, no more than that."""
        messages = bench.send_and_kill(4)
        queue = bench.driver.dead_letters(bench.queue)
        keys = [dead.key for dead in bench.dead()]
        chosen = queue.take([keys[2], "no-such-key", keys[1]], limit=10, lease=bench.lease)
        assert {delivery.id for delivery in chosen} == {messages[1].id, messages[2].id}
        oldest = queue.take(None, limit=1, lease=bench.lease)
        assert [delivery.id for delivery in oldest] == [messages[0].id]

    def test_an_acked_dead_letter_is_deleted(self, bench: Bench) -> None:
        """Acking a taken dead letter deletes it, once; the others stay."""
        messages = bench.send_and_kill(2)
        queue = bench.driver.dead_letters(bench.queue)
        (taken,) = queue.take([bench.dead()[0].key], limit=1, lease=bench.lease)
        final = Final(lease=taken.lease, step=Ack())
        assert errors_of(queue.settle([final])) == [None]
        assert errors_of(queue.settle([final])) == [LeaseLost]
        assert [dead.id for dead in bench.dead()] == [messages[1].id]

    def test_a_released_dead_letter_stays(self, bench: Bench) -> None:
        """Releasing a taken dead letter leaves it where it was, for the next to take."""
        messages = bench.send_and_kill(2)
        queue = bench.driver.dead_letters(bench.queue)
        taken = _take(bench, queue)
        assert errors_of(queue.settle([Final(lease=one.lease, step=Release()) for one in taken])) == [None, None]
        assert [dead.id for dead in bench.dead()] == [message.id for message in messages]
        assert len(_take(bench, queue)) == 2

    def test_chosen_dead_letters_are_purged(self, bench: Bench) -> None:
        """Purging by key deletes those and counts them; purging all deletes and counts the rest."""
        messages = bench.send_and_kill(3)
        queue = bench.driver.dead_letters(bench.queue)
        keys = [dead.key for dead in bench.dead()]
        assert queue.purge([keys[1], "no-such-key"]) == 1
        assert [dead.id for dead in bench.dead()] == [messages[0].id, messages[2].id]
        assert queue.purge(None) == 2
        assert list(bench.dead()) == []
        assert queue.purge(None) == 0

    def test_dead_letters_of_two_queues_do_not_mix(self, bench: Bench) -> None:
        """Each queue has its own dead letters."""
        bench.send_and_kill(1)
        message = bench.send(queue=bench.other_queue)
        bench.kill(bench.one(queue=bench.other_queue))
        assert [dead.id for dead in bench.dead(bench.other_queue)] == [message.id]
        assert len(bench.dead()) == 1

    def test_a_redriven_message_has_all_its_attempts_again(self, bench: Bench) -> None:
        """A redrive sends the message again as its first attempt, and the dead letter is gone."""
        bench.send(replace(bench.message(payload={"n": 1}), attempt_base=4, generation=4))
        bench.kill(bench.one())
        assert bench.redrive() == 1
        delivery = bench.one()
        assert (delivery.attempt, delivery.deliveries) == (1, 1)
        assert delivery.message is not None
        assert dict(delivery.message.payload) == {"n": 1}
        assert delivery.message.generation > 4
        assert list(bench.dead()) == []

    def test_chosen_dead_letters_are_redriven(self, bench: Bench) -> None:
        """A redrive of some leaves the others in the dead-letter queue."""
        messages = bench.send_and_kill(3)
        assert bench.redrive([bench.dead()[1].key]) == 1
        assert [delivery.id for delivery in bench.receive(3)] == [messages[1].id]
        assert [dead.id for dead in bench.dead()] == [messages[0].id, messages[2].id]

    def test_a_redriven_poison_body_is_unchanged(self, bench: Bench) -> None:
        """A redrive puts undecodable bytes back as they were."""
        bench.put_raw(POISON)
        bench.kill(bench.one())
        assert bench.redrive() == 1
        assert bench.one().body == POISON

    def test_a_redrive_whose_copy_fails_loses_nothing(self, bench: Bench) -> None:
        """If the copy can't be stored the dead letter stays, and the error is reported."""
        (message,) = bench.send_and_kill(1)
        letters = DeadLetters(
            bench.queue,
            bench.driver.dead_letters(bench.queue),
            FailingSends(bench.driver).send,
            bench.capabilities,
            bench.clock,
        )
        redriven = letters.redrive()
        assert (redriven.redriven, len(redriven.errors)) == (0, 1)
        assert [dead.id for dead in bench.dead()] == [message.id]
        bench.nothing()


def _take(bench: Bench, queue: DeadLetterQueue) -> list[Delivery]:
    return list(queue.take(None, limit=10, lease=bench.lease))


def _pay(message: Message) -> None:
    del message
    raise ValueError("no such order: 42")
