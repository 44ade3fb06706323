"""Behaviours of native de-duplication: which messages it must drop, and above all which it must not (semantics 1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from msgspec.structs import replace

from cloudq.core.driver import SendResult
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered, Retried, Snoozed
from cloudq.core.plan import outgoing, plan
from cloudq.testing.conformance.bench import Bench, errors_of
from cloudq.testing.conformance.edge import store
from cloudq.testing.conformance.harness import ZERO

KEY = "order-42"


class Deduplication:
    """Storing the same work once."""

    def test_a_key_is_stored_once_in_the_window(self, bench: Bench) -> None:
        """A second message of a known key isn't stored, and said to be a duplicate; undeclared, both are stored."""
        first = bench.message(key=KEY)
        results = [bench.store(first), bench.store(bench.message(key=KEY))]
        _assert_stored_once(bench, results, first)

    def test_a_new_key_is_not_called_a_duplicate(self, bench: Bench) -> None:
        """A stored message must never be reported as a duplicate, with a key or without."""
        keys = (KEY, "order-43", None)
        results = [bench.store(bench.message(key=key)) for key in keys]
        assert all(not result.duplicate for result in results)
        assert len(bench.receive(3, sure=3)) == 3

    def test_a_key_is_stored_once_in_a_batch(self, bench: Bench) -> None:
        """Two messages of one key in one call are one message, as if they had come one after the other."""
        first, second = bench.message(key=KEY), bench.message(key=KEY)
        results = bench.driver.send([bench.prepared(first), bench.prepared(second)])
        _assert_stored_once(bench, list(results), first)

    def test_a_key_is_known_to_every_client(self, bench: Bench) -> None:
        """A key that one client sent is known to another."""
        first = bench.message(key=KEY)
        results = [bench.store(first), bench.store(bench.message(key=KEY), driver=bench.client())]
        _assert_stored_once(bench, results, first)

    def test_a_key_stays_known_after_its_message_is_done(self, bench: Bench) -> None:
        """The window goes on after the message was acked."""
        bench.send(key=KEY)
        bench.ack(bench.one())
        again = bench.store(bench.message(key=KEY))
        assert again.error is None
        if bench.capabilities.deduplication:
            bench.nothing()
        else:
            assert len(bench.receive()) == 1

    def test_the_window_is_as_long_as_declared_and_ends(self, bench: Bench) -> None:
        """A key is known until the window's end, however often it is sent, and new after it."""
        window = bench.capabilities.deduplication
        bench.send(key=KEY)
        if window is None:
            bench.send(key=KEY)
            assert len(bench.receive(2, sure=2)) == 2
            return
        inside = window - bench.grain if bench.affordable(window) else bench.unit
        bench.advance(inside)
        bench.store(bench.message(key=KEY))
        (delivery,) = bench.receive(2)
        if bench.harness.remembers_until_done:
            bench.ack(delivery)
            bench.advance(inside)
            assert bench.store(bench.message(key=KEY)).duplicate in (True, None)
            bench.nothing()
        if bench.affordable(window):
            bench.advance(2 * bench.grain)
            later = bench.send(key=KEY)
            assert later.id in {delivery.id for delivery in bench.receive(2)}

    def test_a_key_is_a_queue_s_own(self, bench: Bench) -> None:
        """The same key in two queues is two messages."""
        bench.send(key=KEY)
        there = bench.send(key=KEY, queue=bench.other_queue)
        assert bench.one(queue=bench.other_queue).id == there.id
        assert len(bench.receive(2)) == 1

    def test_a_key_is_a_task_s_own(self, bench: Bench) -> None:
        """The same key of two tasks is two messages."""
        first = bench.send(bench.message(key=KEY, task="shop.pay"))
        second = bench.send(bench.message(key=KEY, task="shop.ship"))
        assert {delivery.id for delivery in bench.receive(3, sure=2)} == {first.id, second.id}

    def test_a_refused_message_does_not_use_its_key_up(self, bench: Bench) -> None:
        """A message that the backend refused leaves no trace: sent again, made right, it is stored."""
        good = bench.prepared(bench.message(key=KEY))
        bad = bench.harness.refused_item(bench.driver)
        (refused,) = bench.driver.send([replace(bad, native_id=good.native_id)])
        assert refused.error is not None
        result = bench.driver.send([good])[0]
        assert (result.error, bool(result.duplicate)) == (None, False)
        assert bench.one().id == good.id

    def test_a_keyed_message_survives_a_retry(self, bench: Bench) -> None:
        """A retry at once inside the window, twice, is never swallowed."""
        _survives(bench, lambda: _retry(bench, ZERO, counted=True))

    def test_a_keyed_message_survives_a_delayed_retry(self, bench: Bench) -> None:
        """A retry after a while inside the window, twice, is never swallowed."""
        _survives(bench, lambda: _retry(bench, bench.unit, counted=True))

    def test_a_keyed_message_survives_an_uncounted_retry(self, bench: Bench) -> None:
        """A retry that isn't counted inside the window, twice, is never swallowed."""
        _survives(bench, lambda: _retry(bench, ZERO, counted=False))

    def test_a_keyed_message_survives_hops(self, bench: Bench) -> None:
        """A message that arrives before its time and is sent on inside the window is never swallowed."""
        _survives(bench, lambda: _retry(bench, bench.unit, counted=False))

    def test_a_keyed_message_survives_the_dead_letter_queue_and_back(self, bench: Bench) -> None:
        """Dead-lettered and redriven inside the window, twice, a message is never swallowed."""
        _survives(bench, lambda: _through_dead_letters(bench))

    def test_a_keyed_message_survives_every_path_in_turn(self, bench: Bench) -> None:
        """Retried, dead-lettered, redriven and retried again inside the window, a message is never swallowed."""
        bench.send(key=KEY)
        for _ in range(2):
            _retry(bench, ZERO, counted=True)
            _through_dead_letters(bench)
            _retry(bench, ZERO, counted=False)
        assert len(bench.receive(2)) == 1

    def test_a_copy_of_one_generation_is_stored_once(self, bench: Bench) -> None:
        """The copy that a crashed worker stored is known when the next one makes it again, where ids are known."""
        message = bench.send()
        delivery = bench.one()
        copy = outgoing(message.retry_copy(attempt_base=1, not_before=None), bench.capabilities, bench.now())
        assert [errors_of(bench.driver.send([copy])) for _ in range(2)] == [[None], [None]]
        bench.ack(delivery)
        stored = 0
        while deliveries := bench.receive(sure=0 if stored else 1):
            bench.ack(*deliveries)
            stored += 1
        assert stored == (1 if bench.capabilities.deduplication else 2)

    def test_a_dead_letter_of_one_generation_is_kept_once(self, bench: Bench) -> None:
        """A message that is dead-lettered again after a crash is one dead letter, natively or where ids are known."""
        bench.send()
        first = bench.one(lease=bench.unit)
        planned = plan(first, DeadLettered(reason="it broke", failure=bench.failure()), bench.capabilities, bench.now())
        assert store(bench.driver, planned.copies)
        bench.advance(bench.unit + bench.grain)
        bench.kill(bench.one())
        assert len(bench.dead()) == (2 if planned.copies and not bench.capabilities.deduplication else 1)


def _assert_stored_once(bench: Bench, results: list[SendResult], first: Message) -> None:
    """Of two messages of one key only the first is there, if the queue de-duplicates; otherwise both are."""
    assert errors_of(results) == [None, None]
    assert not results[0].duplicate
    deliveries = bench.receive(3)
    if bench.capabilities.deduplication is None:
        assert not results[1].duplicate
        assert len(deliveries) == 2
        return
    assert results[1].duplicate in (True, None)
    assert results[1].original_id in (first.id, None)
    assert [delivery.id for delivery in deliveries] == [first.id]


def _survives(bench: Bench, step: Callable[[], None]) -> None:
    """A keyed message that goes through the step twice is there afterwards, once."""
    message = bench.send(key=KEY)
    step()
    step()
    assert [delivery.id for delivery in bench.receive(2)] == [message.id]


def _retry(bench: Bench, delay: timedelta, *, counted: bool) -> None:
    carried = bench.carry_out(bench.one(), (Retried if counted else Snoozed)(delay=delay, reason="again"))
    assert (carried.copied, carried.error) == (True, None)
    if delay:
        bench.advance(delay + bench.grain)


def _through_dead_letters(bench: Bench) -> None:
    bench.kill(bench.one())
    assert bench.redrive() == 1
