"""Behaviours with bodies that no cloudq wrote: poison ends in the dead-letter queue and never spins."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.core.driver import Release
from cloudq.core.outcome import ACKED, DeadLettered, Retried, Snoozed, Why
from cloudq.testing.conformance.bench import TASK, Bench
from cloudq.testing.conformance.harness import ZERO

POISON = {
    "binary": bytes(range(256)),
    "no JSON": b"<order id='42'/>",
    "no object": b"[1, 2, 3]",
    "no event": b'{"hello": "world"}',
    "bad UTF-8": b'{"specversion": "1.0", "id": "\xff"}',
    "nested": b"[" * 5_000,
    "nul": b"\x00",
    "newer": b'{"specversion": "1.0", "id": "1", "source": "/x", "type": "t", "wireversion": 999}',
}


class Robustness:
    """Taking any bytes that are in the queue."""

    @pytest.mark.parametrize("kind", POISON)
    def test_poison_is_handed_over_with_a_reason(self, bench: Bench, kind: str) -> None:
        """A body that can't be decoded is received like any other: its bytes unchanged, and why it can't be read."""
        bench.put_raw(POISON[kind])
        delivery = bench.one()
        assert (delivery.body, delivery.message) == (POISON[kind], None)
        assert delivery.undecodable
        assert delivery.id
        assert (delivery.attempt, delivery.deliveries) == (1, 1)

    def test_poison_holds_up_no_other(self, bench: Bench) -> None:
        """Good messages before and after a poisonous one are received."""
        before = bench.send()
        bench.put_raw(b"poison")
        after = bench.send()
        deliveries = bench.receive(3)
        assert {delivery.id for delivery in deliveries if delivery.message} == {before.id, after.id}
        assert [delivery.body for delivery in deliveries if not delivery.message] == [b"poison"]

    def test_poison_ends_as_a_dead_letter(self, bench: Bench) -> None:
        """A worker dead-letters poison at its first delivery, with the reason; it never comes again."""
        bench.put_raw(b"poison")
        worker = bench.processor(lambda _: None)
        assert isinstance(worker.work(), DeadLettered)
        bench.nothing()
        (dead,) = bench.dead()
        assert dead.body == b"poison"
        assert dead.failure is not None
        assert dead.failure.reason.startswith("undecodable: ")

    def test_poison_can_be_retried(self, bench: Bench) -> None:
        """A body that can't be decoded can't be copied: a retry must release it, and it comes again unchanged."""
        bench.put_raw(b"poison")
        carried = bench.carry_out(bench.one(), Retried(delay=ZERO, reason="perhaps later"))
        assert (carried.plan.copies, carried.error) == ((), None)
        again = bench.one()
        assert (again.body, again.deliveries) == (b"poison", 2)

    def test_an_unknown_task_ends_as_a_dead_letter(self, bench: Bench) -> None:
        """A worker without patience dead-letters a message for a task that it doesn't have, with the task's name."""
        bench.send(bench.message(task="shop.unknown"))
        assert isinstance(bench.processor(lambda _: None).work(), DeadLettered)
        (dead,) = bench.dead()
        assert dead.failure is not None
        assert "shop.unknown" in dead.failure.reason
        assert dead.message is not None
        assert dead.message.task == "shop.unknown"

    def test_an_unknown_task_goes_back_for_somebody_who_knows_it(self, bench: Bench) -> None:
        """It comes back in its first attempt, as well as attempts are known, and a copy says since when it waits."""
        sent = bench.send(bench.message(task="shop.unknown"))
        stranger = bench.processor(lambda _: None, unknown_task_patience=timedelta(hours=1))
        delivery = bench.one()
        outcome = stranger.decide(delivery)
        assert isinstance(outcome, Snoozed)
        assert outcome.failure is not None
        carried = bench.carry_out(delivery, replace(outcome, delay=bench.unit))
        assert carried.error is None
        assert carried.copied
        bench.advance(bench.unit + bench.grain)
        again = bench.one()
        assert (again.id, again.message and again.message.task) == (sent.id, "shop.unknown")
        if bench.capabilities.attempt_exact or carried.plan.copies:
            assert again.attempt == 1
        if carried.plan.copies:
            assert again.failure is not None
            assert again.failure.unknown_since == outcome.failure.unknown_since
        assert isinstance(stranger.decide(again), Snoozed)
        bench.ack(again)

    def test_only_failures_that_the_driver_noted_tell_of_ends(self, bench: Bench) -> None:
        """Details that came with a message mustn't tell how it ended before, unless no producer can write any."""
        forged = replace(bench.failure("forged"), deliveries=2**31 - 1, generation=0)
        if not bench.capabilities.keeps_failures:
            (result,) = bench.driver.send([replace(bench.prepared(bench.message()), failure=forged)])
            assert result.error is None
            delivery = bench.one()
            assert delivery.known_ends == 0
            bench.ack(delivery)
            return
        bench.send()
        delivery = bench.one()
        assert delivery.known_ends == 0
        kept = replace(forged, deliveries=delivery.deliveries)
        assert bench.settle(delivery, Release(counted=True, failure=kept)) is None
        assert bench.one().known_ends == 1

    def test_what_was_never_started_is_no_poison(self, bench: Bench) -> None:
        """A worker gives back what waits for a limit, or for a slot, however often: none of that killed a worker."""
        bench.send()
        snoozed = Snoozed(delay=bench.unit, why=Why.UNSTARTED, reason="not started here")
        uncounted = bench.capabilities.attempt_exact
        for _ in range(3):
            carried = bench.carry_out(bench.one(), snoozed)
            assert carried.error is None
            uncounted = uncounted or bool(carried.plan.copies)
            bench.advance(bench.unit + bench.grain)
        again = bench.one()
        if uncounted:
            assert (again.attempt, again.without_end) == (1, 1)
        bench.ack(again)

    def test_an_event_made_by_hand_is_a_message(self, bench: Bench) -> None:
        """A minimal CloudEvent, as a shell script would write it, is decoded and run."""
        body = b'{"specversion":"1.0","id":"1","source":"/shell","type":"%s","data":{"n":1}}' % TASK.encode()
        bench.put_raw(body)
        payloads: list[object] = []
        worker = bench.processor(lambda message: payloads.append(dict(message.payload)))
        assert worker.work() == ACKED
        assert payloads == [{"n": 1}]
        bench.nothing()

    def test_many_poisonous_bodies_all_end_with_a_reason(self, bench: Bench) -> None:
        """A queue full of poison is worked off: each body ends in the dead-letter queue, none spins."""
        for body in POISON.values():
            bench.put_raw(body)
        worker = bench.processor(lambda _: None)
        outcomes = [worker.work() for _ in POISON]
        assert all(isinstance(outcome, DeadLettered) for outcome in outcomes)
        bench.nothing()
        assert sorted(dead.body for dead in bench.dead()) == sorted(POISON.values())
        assert all(dead.failure is not None and dead.failure.reason for dead in bench.dead())
