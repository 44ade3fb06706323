"""Behaviours of queues that are paused, where a driver pauses any."""

from __future__ import annotations

import pytest

from cloudq.core.driver import Ack
from cloudq.core.pausing import Pauser
from cloudq.errors import QueuePaused
from cloudq.testing.conformance.bench import Bench


class Pausing:
    """Handing over nothing until somebody resumes."""

    def test_a_paused_queue_takes_messages_and_hands_over_none(self, bench: Bench) -> None:
        """Until it is resumed; a receive says why. The other queue goes on."""
        pauser = bench.driver
        if not isinstance(pauser, Pauser):
            return
        assert not pauser.is_paused(bench.queue)
        before = bench.send()
        assert pauser.pause(bench.queue)
        assert (pauser.is_paused(bench.queue), pauser.is_paused(bench.other_queue)) == (True, False)
        after = bench.send()
        _assert_paused(bench)
        there = bench.send(queue=bench.other_queue)
        assert bench.one(queue=bench.other_queue).id == there.id
        assert pauser.resume(bench.queue)
        assert {delivery.id for delivery in bench.receive(2, sure=2)} == {before.id, after.id}

    def test_what_was_handed_over_before_a_pause_is_not_lost(self, bench: Bench) -> None:
        """It is extended and settled as usual; where receivers are cut off, what isn't settled comes again."""
        pauser = bench.driver
        if not isinstance(pauser, Pauser):
            return
        sent = bench.send()
        delivery = bench.one()
        assert pauser.pause(bench.queue)
        if bench.harness.pause_cuts_off:
            _assert_paused(bench)
            assert pauser.resume(bench.queue)
            bench.advance(2 * bench.lease)
            assert bench.one().id == sent.id
            return
        if bench.capabilities.extendable:
            (extended,) = bench.driver.extend([delivery.lease], bench.lease)
            assert extended.error is None
        assert bench.settle(delivery, Ack()) is None
        assert pauser.resume(bench.queue)
        bench.nothing()

    def test_pausing_twice_is_once(self, bench: Bench) -> None:
        """Each says whether it was news."""
        pauser = bench.driver
        if not isinstance(pauser, Pauser):
            return
        assert [pauser.pause(bench.queue) for _ in range(2)] == [True, False]
        assert [pauser.resume(bench.queue) for _ in range(2)] == [True, False]


def _assert_paused(bench: Bench) -> None:
    with pytest.raises(QueuePaused, match=bench.queue):
        bench.driver.receive(bench.queue, limit=1, wait=bench.harness.poll, lease=bench.lease)
