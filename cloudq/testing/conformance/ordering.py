"""Behaviours of ordered queues; of the others: that they refuse an order instead of ignoring it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cloudq.core.delivery import Delivery
from cloudq.core.driver import Ack, Release
from cloudq.core.outcome import Retried, Snoozed
from cloudq.errors import UnsupportedError
from cloudq.testing.conformance.bench import Bench
from cloudq.testing.conformance.harness import ZERO


class Ordering:
    """Keeping the order of a key, or saying that it isn't kept."""

    def test_an_ordering_key_is_kept_or_refused(self, bench: Bench) -> None:
        """An ordered queue hands the ordering key over with the message; another one refuses it."""
        if bench.capabilities.ordering:
            bench.send(ordering_key="customer-1")
            assert bench.one().group == "customer-1"
        else:
            _refuses(bench, ordering_key="customer-1")
            bench.send()
            assert bench.one().group is None

    def test_a_fifo_name_is_ordered_or_refused(self, bench: Bench) -> None:
        """A queue whose name ends in .fifo keeps order; a backend that can't refuses it at its first use."""
        try:
            capabilities = bench.driver.capabilities("orders.fifo")
        except UnsupportedError:
            return
        assert capabilities.ordering

    def test_a_message_without_an_ordering_key_is_refused_or_free(self, bench: Bench) -> None:
        """An ordered queue refuses a message that has no place in an order; another one takes it."""
        message = replace(bench.message(), ordering_key=None)
        if bench.capabilities.ordering:
            with pytest.raises(UnsupportedError):
                bench.prepared(message)
            bench.nothing()
        else:
            bench.send(message)
            assert bench.one().id == message.id

    def test_a_delay_and_an_ordering_key_exclude_each_other(self, bench: Bench) -> None:
        """A delayed message would lose its place: the two together are refused on every backend."""
        _refuses(bench, ordering_key="customer-1", delayed=True)

    def test_one_message_of_a_key_is_in_flight(self, bench: Bench) -> None:
        """Of one key a single message is handed over at a time, to all receivers together; unordered, all are."""
        sent = _send(bench, 3)
        deliveries = bench.receive(3, sure=1 if bench.capabilities.ordering else 3)
        if bench.capabilities.ordering:
            assert [delivery.id for delivery in deliveries] == sent[:1]
            bench.nothing(driver=bench.client())
        else:
            assert {delivery.id for delivery in deliveries} == set(sent)

    def test_messages_of_a_key_come_in_order(self, bench: Bench) -> None:
        """Acked one after the other, the messages of a key come in the order of their sends; unordered, all come."""
        sent = _send(bench, 5)
        _assert_rest(bench, sent)

    def test_a_released_head_keeps_its_place(self, bench: Bench) -> None:
        """A released message comes again before those behind it; on an unordered queue it blocks none of them."""
        sent = _send(bench, 3)
        first = bench.one()
        bench.advance(bench.grain)  # so that it comes back later than the others came
        assert bench.settle(first, Release()) is None
        _assert_rest(bench, sent)

    def test_a_head_whose_lease_ends_keeps_its_place(self, bench: Bench) -> None:
        """Also after a crash the first message of a key comes again before those behind it."""
        sent = _send(bench, 3)
        bench.one(lease=bench.unit)
        bench.advance(bench.unit + bench.grain)
        _assert_rest(bench, sent)

    def test_a_delayed_head_blocks_its_followers(self, bench: Bench) -> None:
        """While a key's first message waits for its retry, those behind it wait too; unordered, they don't."""
        sent = _send(bench, 3)
        first = bench.one()
        carried = bench.carry_out(first, Retried(delay=bench.unit, reason="later"))
        if not bench.capabilities.ordering:
            assert {delivery.id for delivery in bench.receive(2, sure=2)} == set(sent) - {first.id}
            return
        assert carried.plan.copies == ()
        limit = bench.capabilities.native_retry_delay
        if limit is not None and limit >= bench.unit:
            bench.nothing()
            bench.advance(bench.unit + bench.grain)
        _assert_rest(bench, sent)

    def test_an_acked_head_lets_the_next_come(self, bench: Bench) -> None:
        """With the ack of a key's message the next is handed over at once."""
        sent = _send(bench, 2)
        first = bench.one()
        bench.ack(first)
        came = [first.id, bench.one().id]
        assert (came if bench.capabilities.ordering else sorted(came, key=sent.index)) == sent

    def test_a_dead_letter_lets_the_next_come(self, bench: Bench) -> None:
        """A dead-lettered message no longer blocks its key."""
        sent = _send(bench, 3)
        first = bench.one()
        bench.kill(first)
        assert [dead.id for dead in bench.dead()] == [first.id]
        _assert_rest(bench, [id_ for id_ in sent if id_ != first.id])

    def test_keys_do_not_block_each_other(self, bench: Bench) -> None:
        """While one key's message is in flight, another key's is handed over."""
        ordered = bench.capabilities.ordering
        for key in ("a", "a", "b", "b", "c"):
            bench.send(ordering_key=key if ordered else None)
        deliveries = bench.receive(5, sure=3 if ordered else 5)
        if ordered:
            assert sorted(str(delivery.group) for delivery in deliveries) == ["a", "b", "c"]
        else:
            assert len(deliveries) == 5

    def test_an_ordering_key_is_a_queue_s_own(self, bench: Bench) -> None:
        """The same key in two queues is two orders."""
        key = "customer-1" if bench.capabilities.ordering else None
        bench.send(ordering_key=key)
        there = bench.send(ordering_key=key, queue=bench.other_queue)
        bench.one()
        assert bench.one(queue=bench.other_queue).id == there.id

    def test_a_failing_head_keeps_the_order(self, bench: Bench) -> None:
        """A message that is retried twice holds the order of its key to the end; unordered, everything comes."""
        sent = _send(bench, 3)
        for _ in range(2):
            delivery = bench.one()
            bench.advance(bench.grain)
            bench.carry_out(delivery, Retried(delay=ZERO, reason="again"))
        _assert_rest(bench, sent)

    def test_a_message_sent_later_joins_the_end(self, bench: Bench) -> None:
        """A message sent while the key's first one is in flight comes after all that were there before."""
        sent = _send(bench, 2)
        first = bench.one()
        sent += _send(bench, 1)
        bench.advance(bench.grain)
        assert bench.settle(first, Release()) is None
        _assert_rest(bench, sent)

    def test_a_fairness_key_is_taken_everywhere(self, bench: Bench) -> None:
        """A message with one is stored, and comes with it, whether or not the queue shares by it."""
        message = bench.send(replace(bench.message(), fairness_key="tenant-1"))
        assert bench.one().message == message

    def test_a_backlog_of_one_key_keeps_no_other_waiting(self, bench: Bench) -> None:
        """Of a key with much and one with little, what is sent last comes among the first, where the queue shares."""
        for _ in range(6):
            bench.send(replace(bench.message(), fairness_key="much"))
        late = bench.send(replace(bench.message(), fairness_key="little"))
        bench.send(replace(bench.message(), fairness_key="much"))
        lease = 30 * bench.unit
        came = [bench.one(lease=lease).id for _ in range(4)]
        if bench.capabilities.fairness and bench.harness.shares_at_once:
            assert late.id in came
        rest = bench.receive(4, lease=lease)
        assert len({*came, *(delivery.id for delivery in rest)}) == 8

    def test_every_copy_has_the_fairness_key_of_its_message(self, bench: Bench) -> None:
        """Retried, snoozed, dead and redriven."""
        message = bench.send(replace(bench.message(), fairness_key="tenant-1"))
        for outcome in (Retried(delay=bench.unit, reason="later"), Snoozed(delay=bench.unit, reason="not now")):
            assert bench.carry_out(bench.one(), outcome).error is None
            bench.advance(bench.unit + bench.grain)
        bench.kill(bench.one())
        assert bench.redrive() == 1
        redriven = bench.one().message
        assert redriven is not None
        assert (redriven.id, redriven.fairness_key) == (message.id, "tenant-1")


def _send(bench: Bench, count: int) -> list[str]:
    """Sends messages one after the other, of one ordering key where there is order; their ids."""
    key = "customer-1" if bench.capabilities.ordering else None
    return [bench.send(ordering_key=key).id for _ in range(count)]


def _assert_rest(bench: Bench, expected: list[str]) -> None:
    """Acks one message after the other: those expected come, in order if the queue is ordered, then no more."""
    came: list[Delivery] = []
    while deliveries := bench.receive():
        came += deliveries
        assert bench.settle(deliveries[0], Ack()) is None
        if len(came) >= len(expected):
            break
    ids = [delivery.id for delivery in came]
    assert (ids if bench.capabilities.ordering else sorted(ids, key=expected.index)) == expected
    bench.nothing()


def _refuses(bench: Bench, *, ordering_key: str, delayed: bool = False) -> None:
    delay = bench.unit if delayed else None
    with pytest.raises(UnsupportedError):
        bench.prepared(bench.message(ordering_key=ordering_key, delay=delay))
    bench.nothing()
