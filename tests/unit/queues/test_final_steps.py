"""An outcome's copies are stored before the edge learns its last step."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from cloudq.core.delivery import Delivery
from cloudq.core.driver import Ack, Release, SendResult
from cloudq.core.failure import Failure
from cloudq.core.message import Message, dead_letter_queue
from cloudq.core.outcome import ACKED, DeadLettered, Retried
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import StorageFull
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.final_steps import final_step, final_steps
from cloudq.testing.clock import FakeClock
from cloudq.testing.profiles import cloud_tasks_like

LEASE = timedelta(minutes=5)


class Full(MemoryDriver):
    """Stores nothing any more once it is full."""

    full = False

    def send(self, outgoing):
        if self.full:
            return [SendResult(error=StorageFull("no space left"))] * len(outgoing)
        return super().send(outgoing)


def delivered(driver: MemoryDriver, queue: CloudQueue) -> Delivery:
    queue.send(Message(id=uuid4().hex, task="shop.pay", queue=queue.name, payload={}))
    (delivery,) = driver.receive(queue.name, limit=1, wait=timedelta(0), lease=LEASE)
    return delivery


def setting() -> tuple[FakeClock, Full, CloudQueue]:
    clock = FakeClock()
    driver = Full(clock=clock, capabilities=cloud_tasks_like)
    return clock, driver, CloudQueue("mail", driver, clock=clock)


def test_done_is_acked() -> None:
    """What was done leaves an ack, and no copy."""
    clock, driver, queue = setting()
    assert final_step(queue, delivered(driver, queue), ACKED, clock.now()) == Ack()
    assert driver.stats("mail").delayed == 0


def test_a_copy_is_stored_before_the_ack() -> None:
    """A retry that takes a copy has stored it when the ack is returned."""
    clock, driver, queue = setting()
    retried = Retried(delay=timedelta(minutes=1), reason="later")
    assert final_step(queue, delivered(driver, queue), retried, clock.now()) == Ack()
    assert driver.stats("mail").delayed == 1


def test_a_copy_that_is_not_stored_leaves_the_message_where_it_is() -> None:
    """If the dead letter can't be stored, the message isn't acked."""
    clock, driver, queue = setting()
    delivery = delivered(driver, queue)
    driver.full = True
    dead = DeadLettered(reason="broken", failure=Failure(reason="broken"))
    assert isinstance(final_step(queue, delivery, dead, clock.now()), Release)
    assert driver.stats(dead_letter_queue("mail")).ready == 0


def test_several_share_a_call_and_each_has_its_step() -> None:
    """The copies of many are stored together; of those that weren't, only their own deliveries stay."""
    clock, driver, queue = setting()
    deliveries = [delivered(driver, queue) for _ in range(4)]
    dead = DeadLettered(reason="broken", failure=Failure(reason="broken"))
    calls = []

    def send(outgoing):
        calls.append(len(outgoing))
        return [SendResult(error=StorageFull("no") if n == 1 else None) for n, _ in enumerate(outgoing)]

    driver.send = send
    ended = list(zip(deliveries, [dead, ACKED, dead, dead], strict=True))
    steps = final_steps(queue, ended, clock.now())
    assert [Ack, Ack, Release, Ack] == [type(step) for step in steps]
    assert [3] == calls
    assert [] == final_steps(queue, [], clock.now())


def test_the_edge_may_narrow_what_the_queue_can_do() -> None:
    """A queue that could release natively takes a copy where its edge can't."""
    clock = FakeClock()
    driver = MemoryDriver(clock=clock)
    queue = CloudQueue("mail", driver, clock=clock)
    retried = Retried(delay=timedelta(minutes=1), reason="later")
    step = final_step(queue, delivered(driver, queue), retried, clock.now(), capabilities=cloud_tasks_like("mail"))
    assert step == Ack()
    assert driver.stats("mail").delayed == 1
