"""The conformance kit on Google Cloud Tasks, as the emulator has it: pushes over HTTP, in fake time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from tenacity import stop_after_attempt

from cloudq.core.outcome import Retried
from cloudq.core.plan import plan
from cloudq.core.policy import RetryPolicy
from cloudq.testing.conformance import Bench, PushConformance, PushHarness
from cloudq.testing.conformance.edge import store
from tests.conformance.cloud_tasks import CloudTasksHarness, Emulated

# What a producer and a worker may need; all else is for people who look after queues.
RUN_TIME = {"CreateTask", "BatchCreateTasks"}


class TestCloudTasks(PushConformance):
    @pytest.fixture
    def harness(self, cloud_tasks: Emulated) -> PushHarness:
        return CloudTasksHarness(cloud_tasks)


@pytest.fixture
def bench(cloud_tasks: Emulated) -> Iterator[Bench]:
    bench = Bench(CloudTasksHarness(cloud_tasks))
    yield bench
    bench.close()


def _fails(message: object) -> None:
    raise RuntimeError("it always fails")


def test_sending_and_working_call_nothing_but_creations(bench: Bench) -> None:
    """No queue is looked at, listed or made at run time: sends, retries, hops and dead letters only create tasks."""
    bench.send(key="order-42")
    bench.send(delay=timedelta(days=40))
    bench.driver.send([bench.prepared(bench.message()) for _ in range(3)])
    bench.put_raw(b"poison")
    worker = bench.processor(_fails, RetryPolicy(stop=stop_after_attempt(2)))
    bench.advance(timedelta(days=30))
    while worker.work() is not None:
        bench.advance(timedelta(hours=1))
    bench.advance(timedelta(days=10))
    while worker.work() is not None:
        bench.advance(timedelta(hours=1))
    assert isinstance(bench.harness, CloudTasksHarness)
    methods = set(bench.harness.methods)
    assert len(bench.dead()) == 6
    assert methods == RUN_TIME


def test_what_dies_during_the_answer_is_copied_once(bench: Bench) -> None:
    """A worker that dies between a retry's copy and its answer, three times over, leaves one copy of it."""
    message = bench.send()
    for deliveries in (1, 2, 3):
        delivery = bench.one(lease=bench.unit)
        assert delivery.deliveries == deliveries
        made = plan(delivery, Retried(delay=timedelta(days=1), reason="again"), bench.capabilities, bench.now())
        assert store(bench.driver, made.copies)
        bench.advance(bench.unit + bench.grain)
    bench.ack(bench.one())
    bench.nothing()
    bench.advance(timedelta(days=1))
    assert [delivery.id for delivery in bench.receive(3)] == [message.id]
