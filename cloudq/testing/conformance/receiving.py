"""Behaviours of `PullDriver.receive`, but for the lease itself."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from cloudq.core.delivery import Delivery
from cloudq.testing.conformance.bench import Bench
from cloudq.testing.conformance.harness import ZERO


class Receiving:
    """Receiving messages."""

    def test_an_empty_queue_gives_nothing(self, bench: Bench) -> None:
        """A receive with no wait must return nothing from an empty queue."""
        assert list(bench.driver.receive(bench.queue, limit=10, wait=ZERO, lease=bench.lease)) == []

    def test_a_receive_waits_for_a_message(self, bench: Bench) -> None:
        """A receive from an empty queue returns nothing, and not before its wait is over."""
        wait = bench.unit
        deliveries, took, _ = bench.finish(bench.start(lambda: _time_receive(bench, wait)))
        assert deliveries == []
        assert took >= wait * 0.9

    def test_a_waiting_receive_does_not_poll_hot(self, bench: Bench) -> None:
        """A receive that waits uses hardly any of the processor time that it could have."""
        wait = min(bench.unit, timedelta(seconds=1))
        real, began = 0.3, time.perf_counter()
        receiving = bench.start(lambda: _time_receive(bench, wait))
        time.sleep(real)  # what is measured is what the receive does meanwhile
        _, _, cpu = bench.finish(receiving)
        took = min(time.perf_counter() - began, 1.0)  # where it waits in real time, it takes the longer
        assert cpu < took * _share_of_a_core() / 4

    def test_a_waiting_receive_gets_what_is_sent(self, bench: Bench) -> None:
        """A message that is sent while a receive waits is handed over at once, not when the wait is over."""
        wait = 10 * bench.unit
        receiving = bench.start(lambda: _time_receive(bench, wait))
        message = bench.send()
        deliveries, took, _ = bench.finish(receiving, meanwhile=bench.slowly)
        assert [delivery.id for delivery in deliveries] == [message.id]
        assert took < wait / 2

    def test_a_waiting_receive_gets_what_is_released(self, bench: Bench) -> None:
        """A message whose lease runs out while a receive waits is handed over then."""
        bench.send()
        first = bench.one(lease=2 * bench.unit)
        receiving = bench.start(lambda: _time_receive(bench, 10 * bench.unit))

        def pass_time() -> None:
            # Slowly: what the backend does of itself takes real time, during which the wait must not end.
            if bench.fake and bench.elapsed() < first.lease.ends:
                bench.advance(bench.unit / 100)
            else:
                bench.slowly()

        deliveries, took, _ = bench.finish(receiving, meanwhile=pass_time)
        assert [delivery.id for delivery in deliveries] == [first.id]
        assert took < 5 * bench.unit

    def test_the_limit_is_kept(self, bench: Bench) -> None:
        """A receive returns at most `limit` messages; the others are there for the next."""
        messages = {bench.send().id for _ in range(3)}
        first = bench.driver.receive(bench.queue, limit=2, wait=bench.harness.poll, lease=bench.lease)
        assert 1 <= len(first) <= 2
        rest = bench.receive(3 - len(first), sure=3 - len(first))
        assert {delivery.id for delivery in [*first, *rest]} == messages

    def test_a_receive_brings_no_more_than_it_says(self, bench: Bench) -> None:
        """A receive returns at most `max_receive` messages, also if it is asked for more and they are there."""
        room = 2 + (bench.capabilities.max_receive or 10)
        messages = {bench.send().id for _ in range(room)}
        first = bench.driver.receive(bench.queue, limit=room, wait=bench.harness.poll, lease=bench.lease)
        assert 1 <= len(first) <= (bench.capabilities.max_receive or room)
        assert {delivery.id for delivery in first} <= messages

    def test_one_receive_brings_several_messages(self, bench: Bench) -> None:
        """A receive with room for more returns each message once."""
        messages = {bench.send().id for _ in range(5)}
        deliveries = bench.receive(10, sure=5)
        assert len(deliveries) == 5
        assert {delivery.id for delivery in deliveries} == messages

    def test_a_delivery_says_what_it_is(self, bench: Bench) -> None:
        """A first delivery names its queue, message, attempt 1, delivery 1 and, if at all, a true time."""
        before = bench.now() - bench.unit
        message = bench.send()
        delivery = bench.one()
        assert (delivery.queue, delivery.id, delivery.message) == (bench.queue, message.id, message)
        assert (delivery.attempt, delivery.deliveries, delivery.undecodable) == (1, 1, None)
        assert delivery.lease.queue == bench.queue
        assert delivery.failure is None
        assert delivery.first_received_at is None or before <= delivery.first_received_at <= bench.now() + bench.unit

    def test_the_first_receive_is_remembered(self, bench: Bench) -> None:
        """Where a backend says when a message was first handed over, a later delivery says the same."""
        bench.send()
        first = bench.one(lease=bench.unit)
        bench.advance(bench.unit + bench.grain)
        again = bench.one()
        assert again.deliveries == 2
        assert again.first_received_at == first.first_received_at

    def test_queues_do_not_mix(self, bench: Bench) -> None:
        """A message is received from its own queue only."""
        here = bench.send()
        there = bench.send(queue=bench.other_queue)
        assert [delivery.id for delivery in bench.receive(2)] == [here.id]
        assert [delivery.id for delivery in bench.receive(2, queue=bench.other_queue)] == [there.id]


def _share_of_a_core() -> float:
    """How much of a core a thread that does nothing but count is given here now: little on a busy machine."""
    start, cpu = time.perf_counter(), time.thread_time()
    last, longest = start, 0.0
    while (used := time.thread_time() - cpu) < 0.05:
        now = time.perf_counter()
        last, longest = now, max(longest, now - last)
    return used / (last - start - longest)  # its longest pause may have been one of the whole machine


def _time_receive(bench: Bench, wait: timedelta) -> tuple[list[Delivery], timedelta, float]:
    """What a receive brings, how long it took on the backend's clock, and the seconds of CPU that it used."""
    start: datetime = bench.now()
    cpu = time.thread_time()
    deliveries = bench.driver.receive(bench.queue, limit=10, wait=wait, lease=bench.lease)
    return list(deliveries), bench.now() - start, time.thread_time() - cpu
