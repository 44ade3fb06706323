"""Behaviours of messages that expire: nothing begins them any more, and every copy knows that."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from cloudq.core.delivery import Delivery
from cloudq.core.message import Message
from cloudq.core.outcome import ACKED, Expired, Retried, Snoozed
from cloudq.testing.conformance.bench import Bench
from cloudq.testing.conformance.harness import ZERO


class Expiring:
    """Keeping until when a message may be begun."""

    def test_what_has_expired_is_acknowledged_unrun(self, bench: Bench) -> None:
        """It is gone, and no dead letter; the one that is in time runs."""
        late, in_time = _send(bench, 2 * bench.unit), _send(bench, 1_000 * bench.unit)
        bench.advance(2 * bench.unit + bench.grain)
        worker = bench.processor(lambda _: None)
        outcomes = {delivery.id: worker.work_on(delivery) for delivery in _both(bench)}
        assert isinstance(outcomes[late.id], Expired)
        assert outcomes[in_time.id] == ACKED
        assert [delivery.id for delivery in worker.script.ran] == [in_time.id]
        bench.nothing()
        assert list(bench.dead()) == []

    def test_every_copy_expires_when_its_message_does(self, bench: Bench) -> None:
        """Retried or snoozed, at once or later, released or copied; dead, and redriven."""
        sent = _send(bench, 1_000 * bench.unit)
        for outcome in (
            Retried(delay=ZERO, reason="again"),
            Retried(delay=bench.unit, reason="later"),
            Snoozed(delay=bench.unit, reason="not now"),
        ):
            assert bench.carry_out(bench.one(), outcome).error is None
            bench.advance(outcome.delay + bench.grain)
        delivery = bench.one()
        assert delivery.message is not None
        assert delivery.message.expires_at == sent.expires_at
        bench.kill(delivery)
        assert bench.redrive() == 1
        redriven = bench.one().message
        assert redriven is not None
        assert redriven.expires_at == sent.expires_at


def _send(bench: Bench, span: timedelta) -> Message:
    return bench.send(replace(bench.message(), expires_at=bench.now() + span))


def _both(bench: Bench) -> list[Delivery]:
    return bench.receive(2, sure=2)
