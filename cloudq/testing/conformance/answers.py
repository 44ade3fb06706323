"""Behaviours with answers that are cut, empty or of another kind: what they don't name isn't done."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress

import pytest

from cloudq.core.delivery import Delivery
from cloudq.core.driver import Ack, Final, Outgoing, Release, SendResult
from cloudq.core.outcome import DeadLettered, Outcome, Snoozed
from cloudq.errors import BackendUnavailable, LeaseLost
from cloudq.queues.dead_letters import DeadLetters
from cloudq.testing.conformance.bench import Bench, errors_of
from cloudq.testing.conformance.cancelling import cancel, cancellable
from cloudq.testing.conformance.harness import ZERO
from cloudq.testing.conformance.spoil import SPOILS, Spoil

spoilt = pytest.mark.parametrize("how", SPOILS)


class Answers:
    """Believing an answer as far as it goes."""

    @spoilt
    def test_what_is_not_named_as_stored_is_not_accepted(self, bench: Bench, how: str) -> None:
        """A spoilt answer's items must be BackendUnavailable: each may be stored; what is accepted must be there."""
        if (answers := _spoilt(bench, spoil := Spoil(how))) is None:
            return  # no answer comes over a network
        messages = [bench.message() for _ in range(min(3, bench.capabilities.max_batch))]
        with answers:
            results = bench.driver.send([bench.prepared(message) for message in messages])
        assert spoil.count, "the harness spoilt no answer of a send"
        assert set(errors_of(results)) in ({BackendUnavailable}, {BackendUnavailable, None})
        for message, result in zip(messages, results, strict=True):
            if result.error is not None:
                assert bench.store(message).error is None
        received = {delivery.id for delivery in bench.receive(2 * len(messages), sure=len(messages))}
        assert received == {message.id for message in messages}

    @spoilt
    def test_a_message_whose_handing_over_is_spoilt_comes_again(self, bench: Bench, how: str) -> None:
        """A receive whose answer is spoilt must fail or bring nothing; the message is whole when its lease is over."""
        if (answers := _spoilt(bench, Spoil(how))) is None:
            return  # no answer comes over a network
        sent = bench.prepared(bench.message(payload={"text": "whole"}))
        assert errors_of(bench.driver.send([sent])) == [None]
        deliveries: list[Delivery] = []
        with answers, suppress(BackendUnavailable):
            deliveries = bench.receive(lease=bench.unit)
        if not deliveries:
            bench.advance(bench.unit + bench.grain)
            deliveries = _receive_left(bench, 1)
        assert [delivery.body for delivery in deliveries] == [sent.body]
        bench.ack(*deliveries)

    @spoilt
    def test_what_is_not_named_as_settled_is_not_confirmed(self, bench: Bench, how: str) -> None:
        """A spoilt answer must confirm neither an ack nor a release; each can be tried again, or its lease is lost."""
        if (answers := _spoilt(bench, spoil := Spoil(how))) is None:
            return  # no answer comes over a network
        for _ in range(2):
            bench.send()
        acked, released = bench.receive(2, lease=bench.unit, sure=2)
        finals = [Final(lease=acked.lease, step=Ack()), Final(lease=released.lease, step=Release())]
        with answers:
            results = bench.driver.settle(finals)
        if not spoil.count:
            bench.advance(bench.harness.back_off)
            bench.ack(bench.one())
            return  # a settlement is itself an answer here, to the backend
        assert set(errors_of(results)) <= {BackendUnavailable, LeaseLost}
        again = bench.driver.settle(finals)
        assert set(errors_of(again)) <= {None, LeaseLost}
        bench.advance(bench.unit + bench.grain)
        received = {delivery.id for delivery in _receive_left(bench, 2)}
        assert released.id in received
        if again[0].error is None:
            assert acked.id not in received

    @spoilt
    def test_what_is_not_named_as_extended_is_not_granted(self, bench: Bench, how: str) -> None:
        """An extension whose answer is spoilt must grant nothing, and must not be LeaseLost while the lease lasts."""
        if (answers := _spoilt(bench, spoil := Spoil(how))) is None:
            return  # no answer comes over a network
        bench.send()
        delivery = bench.one()
        with answers:
            (result,) = bench.driver.extend([delivery.lease], bench.lease)
        if not spoil.count:
            bench.ack(delivery)
            return  # nobody is asked
        assert result.ends is None
        (again,) = bench.driver.extend([delivery.lease], bench.lease)
        if bench.harness.close_ends_leases and isinstance(again.error, LeaseLost):
            return  # it ended with its connection
        assert (type(result.error), again.error) == (BackendUnavailable, None)
        bench.ack(delivery)

    @spoilt
    def test_a_copy_that_is_not_named_as_stored_replaces_nothing(self, bench: Bench, how: str) -> None:
        """A message whose retry or dead letter was answered by a spoilt answer must be there: itself or as a copy."""
        outcomes: list[Outcome] = [
            Snoozed(delay=ZERO, reason="again"),
            DeadLettered(reason="no", failure=bench.failure()),
        ]
        for outcome in outcomes:
            if (answers := _spoilt(bench, Spoil(how))) is None:
                return  # no answer comes over a network
            message = bench.send()
            delivery = bench.one(lease=bench.unit)
            with answers:
                carried = bench.carry_out(delivery, outcome)
            if carried.plan.copies:
                assert not carried.copied
            bench.advance(bench.unit + bench.grain)
            dead = {letter.id for letter in bench.dead()}
            left = [] if dead else _receive_left(bench, 3)
            assert {delivery.id for delivery in left} | dead == {message.id}
            bench.ack(*left)

    @spoilt
    def test_a_redriven_copy_that_is_not_named_as_stored_replaces_nothing(self, bench: Bench, how: str) -> None:
        """A redrive counts only what was named as stored; the other dead letters stay, and may be sent again too."""
        if (answers := _spoilt(bench, spoil := Spoil(how))) is None:
            return  # no answer comes over a network
        sent = {message.id for message in bench.send_and_kill(2)}

        def store(copies: Sequence[Outgoing]) -> Sequence[SendResult]:
            with answers:
                return bench.driver.send(copies)

        letters = bench.driver.dead_letters(bench.queue)
        redriven = DeadLetters(bench.queue, letters, store, bench.capabilities, bench.clock).redrive()
        assert spoil.count, "the harness spoilt no answer of a redrive"
        assert redriven.redriven + len(redriven.errors) == len(sent)
        dead = {letter.id for letter in bench.dead()}
        assert len(dead) >= len(redriven.errors) > 0
        left = bench.receive(4, sure=redriven.redriven)
        assert {delivery.id for delivery in left} | dead == sent
        bench.ack(*left)

    @spoilt
    def test_a_cancelling_whose_answer_is_spoilt_says_nothing(self, bench: Bench, how: str) -> None:
        """It must not say that the message was under way: it isn't handed over then. It may be tried again."""
        if (answers := _spoilt(bench, spoil := Spoil(how))) is None:
            return  # no answer comes over a network
        if (sent := cancellable(bench)) is None:
            return
        _, receipt, delay = sent
        said: bool | None = None
        with answers, suppress(BackendUnavailable):
            said = cancel(bench, receipt)
        assert spoil.count, "the harness spoilt no answer of a cancelling"
        assert said is not False
        cancel(bench, receipt)
        if bench.affordable(delay):
            bench.advance(delay + bench.grain)
            bench.nothing()


def _spoilt(bench: Bench, spoil: Spoil) -> AbstractContextManager[object] | None:
    """The harness's, with everything open that is opened by the first calls: what is spoilt is the answer meant."""
    answers = bench.harness.spoil(bench.driver, spoil)
    if answers is not None:
        bench.send()
        bench.ack(bench.one())
    return answers


def _receive_left(bench: Bench, count: int) -> list[Delivery]:
    """What is there. The first receive may find its link cut: it fails then, or ends without anything."""
    with suppress(BackendUnavailable):
        if found := bench.receive(count):
            return found
    return bench.receive(count)
