"""Behaviours of messages that are due later. On an ordered queue: that a delay is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.message import Message
from cloudq.core.outcome import Acked, Outcome, Snoozed
from cloudq.core.plan import COPY_FAILED_DELAY
from cloudq.errors import UnsupportedError
from cloudq.testing.conformance.bench import Bench
from cloudq.testing.conformance.faults import FailingSends

LONG = timedelta(days=40)


class Delays:
    """Keeping a message until its time."""

    def test_a_delayed_message_comes_when_it_is_due(self, bench: Bench) -> None:
        """A delayed message isn't handed over before its time, and is after it."""
        message = _send_delayed(bench, 2 * bench.unit)
        if message is None:
            return
        bench.nothing()
        bench.advance(max(timedelta(0), 2 * bench.unit - bench.lead - 2 * bench.harness.quiet))
        bench.nothing()
        bench.advance(bench.lead + bench.grain + 2 * bench.harness.quiet)
        assert bench.one().id == message.id

    def test_delays_shorter_than_a_second_count(self, bench: Bench) -> None:
        """A delay of part of a second is at most rounded to the second, up or down, and the message comes."""
        message = _send_delayed(bench, timedelta(milliseconds=300))
        if message is None:
            return
        bench.advance(timedelta(seconds=1))
        assert bench.one().id == message.id

    def test_a_message_whose_time_has_passed_comes_at_once(self, bench: Bench) -> None:
        """A message whose time is in the past comes at once."""
        message = _send_delayed(bench, -LONG)
        if message is not None:
            assert bench.one().id == message.id

    def test_a_waiting_message_holds_up_no_other(self, bench: Bench) -> None:
        """Messages sent after a delayed one come before it."""
        if _send_delayed(bench, 2 * bench.unit) is None:
            return
        prompt = bench.send()
        assert [delivery.id for delivery in bench.receive(2)] == [prompt.id]

    def test_messages_come_in_the_order_of_their_times(self, bench: Bench) -> None:
        """Of two delayed messages the one that is due first is there first."""
        late = _send_delayed(bench, 3 * bench.unit)
        if late is None:
            return
        soon = bench.send(delay=bench.unit)
        bench.advance(bench.unit + bench.grain)
        deliveries = bench.receive(2)
        assert [delivery.id for delivery in deliveries] == [soon.id]
        bench.ack(*deliveries)
        bench.advance(2 * bench.unit)
        assert [delivery.id for delivery in bench.receive(2)] == [late.id]

    def test_a_long_delay_is_kept_or_hops(self, bench: Bench) -> None:
        """A message due in 40 days isn't run before, hop by hop where needed, then runs once, as attempt 1."""
        message = _send_delayed(bench, LONG)
        if message is None:
            return
        worker = bench.processor(lambda _: None)
        assert worker.work(patient=False) is None
        hops = 0
        while not worker.script.ran and bench.affordable(LONG):
            assert hops < 10_000, "the message never came"
            step = bench.capabilities.max_delay or LONG
            left = (message.not_before or bench.now()) - bench.now()
            bench.advance(max(bench.unit, min(step, left)))
            outcome = worker.work(patient=False)
            hops += 1
            if message.not_before is not None and bench.now() < message.not_before:
                assert outcome is None or _is_hop(outcome)
        if bench.affordable(LONG):
            assert [(ran.id, ran.attempt) for ran in worker.script.ran] == [(message.id, 1)]
            bench.nothing()

    def test_a_hop_whose_copy_fails_loses_nothing(self, bench: Bench) -> None:
        """A message that arrives early and can't be sent on is handed over again."""
        message = _send_delayed(bench, bench.unit)
        if message is None:
            return
        bench.advance(bench.unit + bench.grain)
        delivery = bench.one(lease=bench.unit)
        early = Snoozed(delay=bench.unit, reason="not due yet")
        carried = bench.carry_out(delivery, early, driver=FailingSends(bench.driver))
        assert carried.error is None
        wait = bench.unit if carried.copied else COPY_FAILED_DELAY
        if bench.affordable(wait):
            bench.advance(wait + bench.grain)
            assert bench.one().id == message.id

    def test_a_delayed_message_is_seen_by_other_clients_when_due(self, bench: Bench) -> None:
        """The delay is the message's, kept by the backend, not by the client that sent it."""
        other = bench.client()
        message = _send_delayed(bench, bench.unit)
        if message is None:
            return
        bench.nothing(driver=other)
        bench.advance(bench.unit + bench.grain)
        assert bench.one(driver=other).id == message.id


def _send_delayed(bench: Bench, delay: timedelta) -> Message | None:
    """Sends a message that is due then; on an ordered queue, shows that it is refused and returns `None`."""
    if not bench.capabilities.ordering:
        return bench.send(delay=delay)
    with pytest.raises(UnsupportedError):
        bench.prepared(bench.message(delay=delay))
    bench.nothing()
    return None


def _is_hop(outcome: Outcome) -> bool:
    assert not isinstance(outcome, Acked), "the message ran before its time"
    return isinstance(outcome, Snoozed)
