"""Behaviours under many threads and clients at once."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from datetime import timedelta
from functools import partial
from threading import Lock

from cloudq.core.delivery import Delivery
from cloudq.core.driver import Ack, PullDriver, Release
from cloudq.errors import LeaseLost
from cloudq.testing.conformance.bench import Bench
from cloudq.testing.conformance.harness import STUCK, ZERO

RECEIVERS = 8
# A message that doesn't come within this many receives was lost.
TRIES = 100_000


class Concurrency:
    """Doing it all at the same time."""

    def test_eight_receivers_never_share_a_message(self, bench: Bench) -> None:
        """Of many messages, eight receivers each get some, no two get the same, and none is lost."""
        messages = {bench.send().id for _ in range(120)}
        taken = bench.by_clients(RECEIVERS, lambda client: _take_all(bench, client))
        # On a busy machine all eight may have stopped waiting while a message was on its way to one of them.
        late = bench.receive(len(messages), lease=bench.long_lease, sure=len(messages) - sum(map(len, taken)))
        bench.ack(*late)
        counted = Counter(id_ for ids in (*taken, [delivery.id for delivery in late]) for id_ in ids)
        assert set(counted) == messages
        assert max(counted.values()) == 1
        bench.nothing()

    def test_a_receive_is_not_held_up_by_another(self, bench: Bench) -> None:
        """Where `max_receive` is declared, a receive returns in time while another one of the same client waits."""

        def receive(wait: timedelta) -> list[Delivery]:
            return list(bench.driver.receive(bench.queue, limit=1, wait=wait, lease=bench.lease))

        in_time = bench.capabilities.max_receive is not None and not bench.capabilities.ordering
        waiting = bench.start(partial(receive, (10 if in_time else 3) * bench.unit))
        others = [bench.start(partial(receive, ZERO)) for _ in range(RECEIVERS - 1)]
        if not in_time:
            assert [bench.finish(future) for future in (*others, waiting)] == [[]] * RECEIVERS
            return
        assert [other.result(STUCK) for other in others] == [[]] * len(others)
        assert not waiting.done()
        message = bench.send()
        assert [delivery.id for delivery in bench.finish(waiting, meanwhile=bench.slowly)] == [message.id]

    def test_eight_senders_lose_nothing(self, bench: Bench) -> None:
        """What eight clients send at the same time is all stored."""
        sent: list[str] = []

        def send_ten(client: PullDriver) -> None:
            for _ in range(10):
                message = bench.message()
                assert bench.store(message, driver=client).error is None
                sent.append(message.id)

        bench.by_clients(8, send_ten)
        assert len(sent) == 80
        assert sorted(item.id for item in bench.receive(100, lease=bench.long_lease, sure=len(sent))) == sorted(sent)

    def test_senders_and_receivers_do_not_disturb_each_other(self, bench: Bench) -> None:
        """While four clients send, four receive and ack: each message is worked on once."""
        total = 80
        unsent = [bench.message() for _ in range(total)]
        expected = sorted(message.id for message in unsent)
        seen: list[str] = []
        lock = Lock()

        def send(client: PullDriver) -> None:
            while True:
                with lock:
                    if not unsent:
                        return
                    message = unsent.pop()
                assert bench.store(message, driver=client).error is None

        def work(client: PullDriver) -> None:
            for _ in range(TRIES):
                ids = _take_all(bench, client)
                with lock:
                    seen.extend(ids)
                    if len(seen) >= total:
                        return
            raise AssertionError(f"{len(seen)} of {total} messages came")

        bench.together([partial(function, bench.client()) for function in (send, work) * 4])
        assert sorted(seen) == expected

    def test_one_key_has_one_holder_among_many(self, bench: Bench) -> None:
        """With eight receivers, no two hold messages of one ordering key, and each key's order is kept."""
        keys = ["a", "b", "c"] if bench.capabilities.ordering else [None]
        sent: dict[str | None, list[str]] = defaultdict(list)
        for number in range(30):
            key = keys[number % len(keys)]
            sent[key].append(bench.send(ordering_key=key).id)
        done: dict[str | None, list[str]] = defaultdict(list)
        holding: Counter[str | None] = Counter()
        lock = Lock()

        def work(client: PullDriver) -> None:
            for _ in range(TRIES):
                with lock:
                    if sum(map(len, done.values())) >= 30:
                        return
                for delivery in bench.receive(driver=client, lease=bench.long_lease, sure=0):
                    with lock:
                        holding[delivery.group] += 1
                        assert holding[delivery.group] == 1 or not bench.capabilities.ordering
                        done[delivery.group].append(delivery.id)
                    time.sleep(0)  # another thread's chance to hold the key's next message, which it mustn't get
                    with lock:
                        holding[delivery.group] -= 1
                    assert bench.settle(delivery, Ack(), driver=client) is None
            raise AssertionError("not all messages came")

        bench.by_clients(RECEIVERS, work)
        if bench.capabilities.ordering:
            assert done == sent
        else:
            assert sorted(done[None]) == sorted(sent[None])

    def test_a_lease_is_settled_by_one_of_many(self, bench: Bench) -> None:
        """Of several threads that settle the same lease, one is confirmed and the others are told LeaseLost."""
        bench.send()
        delivery = bench.one(lease=bench.long_lease)
        errors = bench.together([lambda: bench.settle(delivery, Ack())] * 6)
        assert [type(error) for error in errors if error is not None] == [LeaseLost] * 5
        bench.nothing()

    def test_a_key_is_stored_once_by_many_senders(self, bench: Bench) -> None:
        """Of eight messages of one key sent at the same time, one is stored; undeclared, all are."""
        results = bench.by_clients(8, lambda client: bench.store(bench.message(key="order-42"), driver=client))
        assert [result.error for result in results] == [None] * 8
        stored = 1 if bench.capabilities.deduplication else 8
        assert len(bench.receive(10, lease=bench.long_lease, sure=stored)) == stored

    def test_released_messages_are_not_lost_among_many(self, bench: Bench) -> None:
        """Messages that are released again and again by several receivers are all there in the end."""
        messages = {bench.send().id for _ in range(20)}

        def juggle(client: PullDriver) -> None:
            for _ in range(20):
                for delivery in bench.receive(driver=client, lease=bench.long_lease, sure=0):
                    assert bench.settle(delivery, Release(), driver=client) is None

        bench.by_clients(4, juggle)
        assert {delivery.id for delivery in bench.receive(30, lease=bench.long_lease, sure=20)} == messages


def _take_all(bench: Bench, client: PullDriver) -> list[str]:
    """Receives and acks until nothing comes; the ids."""
    ids: list[str] = []
    while deliveries := bench.receive(3, driver=client, lease=bench.long_lease, sure=0):
        for delivery in deliveries:
            assert bench.settle(delivery, Ack(), driver=client) is None
        ids += [delivery.id for delivery in deliveries]
    return ids
