"""Behaviours of purge, stats, interrupt, close and capabilities."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import timedelta

from cloudq.core.delivery import Delivery
from cloudq.core.driver import Ack, PullDriver, QueueStats
from cloudq.core.message import dead_letter_queue, is_ordered
from cloudq.errors import LeaseLost
from cloudq.testing.conformance.bench import Bench
from cloudq.testing.conformance.harness import ZERO


class Operations:
    """Running a queue."""

    def test_a_purge_deletes_what_is_ready_or_delayed(self, bench: Bench) -> None:
        """After a purge nothing must come, now or later. The number that it returns is right, or `None`."""
        bench.send()
        bench.send()
        delayed = 0 if bench.capabilities.ordering else 1
        if delayed:
            bench.send(delay=bench.unit)
        assert bench.driver.purge(bench.queue) in (2 + delayed, None)
        bench.nothing()
        bench.advance(bench.unit + bench.grain)
        bench.nothing()

    def test_a_purge_deletes_what_is_in_flight(self, bench: Bench) -> None:
        """A message under a lease is deleted too, and its settlement late where fenced; or it is left to its holder."""
        bench.send()
        delivery = bench.one(lease=bench.unit)
        if not bench.capabilities.purges_leased:
            assert bench.driver.purge(bench.queue) == 0
            bench.ack(delivery)
            return
        assert bench.driver.purge(bench.queue) in (1, None)
        error = bench.settle(delivery, Ack())
        assert isinstance(error, LeaseLost) or (error is None and not bench.capabilities.fenced_settle)
        bench.advance(bench.unit + bench.grain)
        bench.nothing()

    def test_a_purge_leaves_dead_letters(self, bench: Bench) -> None:
        """Dead letters are not messages of the queue: a purge leaves them."""
        (message,) = bench.send_and_kill(1)
        bench.send()
        bench.driver.purge(bench.queue)
        assert [dead.id for dead in bench.dead()] == [message.id]

    def test_a_purge_leaves_other_queues(self, bench: Bench) -> None:
        """A purge is of one queue."""
        there = bench.send(queue=bench.other_queue)
        bench.driver.purge(bench.queue)
        assert bench.one(queue=bench.other_queue).id == there.id

    def test_a_purged_queue_goes_on(self, bench: Bench) -> None:
        """A message sent after a purge must be received, even if its ordering key was blocked before."""
        key = "customer-1" if bench.capabilities.ordering else None
        bench.send(ordering_key=key)
        held = bench.one()
        bench.driver.purge(bench.queue)
        if not bench.capabilities.purges_leased:
            bench.ack(held)
        message = bench.send(ordering_key=key)
        assert bench.one().id == message.id

    def test_an_empty_queue_is_purged(self, bench: Bench) -> None:
        """Purging an empty queue deletes nothing."""
        assert bench.driver.purge(bench.queue) in (0, None)

    def test_stats_count_messages_by_their_state(self, bench: Bench) -> None:
        """Ready, delayed, in flight and dead are counted, or not said."""
        bench.send_and_kill(1)
        for _ in range(3):
            bench.send()
        delayed = 0 if bench.capabilities.ordering else 1
        if delayed:
            bench.send(delay=4 * bench.unit)
        bench.one()
        _assert_stats(bench, ready=2, delayed=delayed, in_flight=1, dead=1)

    def test_stats_follow_what_happens(self, bench: Bench) -> None:
        """An ack leaves, an expired lease and a due delay become ready."""
        bench.send()
        bench.ack(bench.one())
        _assert_stats(bench, ready=0, delayed=0, in_flight=0, dead=0)
        bench.send()
        bench.one(lease=bench.unit)
        bench.advance(bench.unit + bench.grain)
        _assert_stats(bench, ready=1, delayed=0, in_flight=0, dead=0)

    def test_stats_count_followers_as_ready(self, bench: Bench) -> None:
        """A message that only waits for an earlier one of its ordering key is ready."""
        key = "customer-1" if bench.capabilities.ordering else None
        for _ in range(3):
            bench.send(ordering_key=key)
        bench.one()
        _assert_stats(bench, ready=2, delayed=0, in_flight=1, dead=0)

    def test_stats_say_how_old_the_oldest_is(self, bench: Bench) -> None:
        """The oldest ready message's age is how long it has been ready, or isn't said."""
        bench.send()
        bench.advance(2 * bench.unit)
        bench.send()
        age = bench.driver.stats(bench.queue).oldest_age
        assert age is None or 2 * bench.unit <= age <= 2 * bench.unit + timedelta(seconds=5)

    def test_an_empty_queue_has_empty_stats(self, bench: Bench) -> None:
        """The stats of an empty queue are zeros or unknown."""
        _assert_stats(bench, ready=0, delayed=0, in_flight=0, dead=0)
        assert bench.driver.stats(bench.queue).oldest_age in (None, ZERO)

    def test_closing_ends_a_receive(self, bench: Bench) -> None:
        """A receive that waits returns nothing when its driver is closed."""
        client = bench.client()
        receiving = _receiving(bench, client)
        assert bench.finish(receiving, meanwhile=client.close) == []

    def test_a_closed_driver_receives_nothing(self, bench: Bench) -> None:
        """A receive after close returns nothing, at once, though messages are there."""
        client = bench.client()
        bench.send()
        client.close()
        assert list(client.receive(bench.queue, limit=1, wait=10 * bench.unit, lease=bench.lease)) == []

    def test_closing_twice_is_closing_once(self, bench: Bench) -> None:
        """A driver may be closed again."""
        client = bench.client()
        client.close()
        client.close()
        assert list(client.receive(bench.queue, limit=1, wait=ZERO, lease=bench.lease)) == []

    def test_closing_leaves_leases(self, bench: Bench) -> None:
        """Messages that a closed client held must come again at the lease's end, or, where declared, at once."""
        client = bench.client()
        bench.send()
        held = bench.one(driver=client, lease=bench.unit)
        if client is not bench.driver:
            client.close()
        if bench.harness.close_ends_leases:
            assert bench.one().id == held.id
            return
        bench.nothing()
        bench.advance(bench.unit + bench.grain)
        assert bench.one().id == held.id

    def test_an_interrupt_ends_a_receive(self, bench: Bench) -> None:
        """A receive that waits returns soon after an interrupt."""
        receiving = _receiving(bench, bench.driver)
        assert bench.finish(receiving, meanwhile=bench.driver.interrupt) == []

    def test_a_receive_after_an_interrupt_waits(self, bench: Bench) -> None:
        """An interrupt ends the receives under way only: the next one waits and gets what is sent meanwhile."""
        bench.driver.interrupt()
        receiving = _receiving(bench, bench.driver)
        message = bench.send()
        assert [delivery.id for delivery in bench.finish(receiving, meanwhile=bench.slowly)] == [message.id]

    def test_capabilities_are_sound(self, bench: Bench) -> None:
        """What a queue can do is the same at every call, has positive bounds, and order goes by the name."""
        capabilities = bench.driver.capabilities(bench.queue)
        assert capabilities == bench.client().capabilities(bench.queue)
        assert (capabilities.max_batch >= 1, capabilities.max_body >= 1024) == (True, True)
        assert not capabilities.ordering or is_ordered(bench.queue)
        for length in (capabilities.max_lease, capabilities.deduplication):
            assert length is None or length > ZERO
        for length in (capabilities.max_delay, capabilities.native_retry_delay):
            assert length is None or length >= ZERO

    def test_the_dead_letter_queue_takes_what_the_queue_takes(self, bench: Bench) -> None:
        """A body, a key and an order that the queue takes, its dead-letter queue takes, so that no copy is refused."""
        here = bench.capabilities
        there = bench.driver.capabilities(dead_letter_queue(bench.queue))
        assert there.max_body >= here.max_body
        assert (there.ordering, there.fairness) == (here.ordering, here.fairness)


def _receiving(bench: Bench, driver: PullDriver) -> Future[list[Delivery]]:
    """A receive that waits for long, in another thread."""
    wait = min(10 * bench.unit, timedelta(minutes=10))
    return bench.start(lambda: list(driver.receive(bench.queue, limit=1, wait=wait, lease=bench.lease)))


def _assert_stats(bench: Bench, **expected: int) -> None:
    """Each number that the backend says is the expected one."""
    stats: QueueStats = bench.driver.stats(bench.queue)
    said = {name: getattr(stats, name) for name in expected}
    if stats.in_flight is None and stats.ready is not None:
        expected["ready"] += expected["in_flight"]
    assert said == {name: None if said[name] is None else number for name, number in expected.items()}
