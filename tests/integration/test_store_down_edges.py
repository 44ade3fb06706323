"""A store that is down for half an hour, at the edges that services call: pushes, Lambda batches, Functions.

Nobody can stop those services: each message comes back when the edge says so, and that costs it no attempt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from cloudq import App
from cloudq.aws_lambda import handler as lambda_handler
from cloudq.azure_functions import handler as functions_handler
from cloudq.core.driver import Ack, Final, Outgoing, Release, SendResult
from cloudq.push import PushEdge, handle
from cloudq.testing.clock import FakeClock
from tests.integration.store_outages import OUTAGE, TROUBLES, CallMade, Ran, Troubled, busiest, declare, slow
from tests.unit.aws_lambda.fakes import Mapping
from tests.unit.azure_functions.fakes import Host
from tests.unit.drivers.sqs.fakes import FakeSqs
from tests.unit.push.fakes import edge_of, pushed

MESSAGES = 20
STEP = timedelta(seconds=30)
QUEUE_VISIBILITY = timedelta(minutes=3)


class TimedSqs(FakeSqs):
    """`FakeSqs` whose delays and visibility timeouts end by the clock."""

    def __init__(self, clock: FakeClock, *queues: str) -> None:
        super().__init__(*queues)
        self.clock = clock
        self.hidden: dict[str, datetime] = {}  # by message, until when

    def send_message_batch(self, **given: Any) -> dict[str, Any]:
        messages = self.queues[given["QueueUrl"]]
        known = {one["MessageId"] for one in messages}
        answer = super().send_message_batch(**given)
        new = [one for one in messages if one["MessageId"] not in known]
        for one, entry in zip(new, given["Entries"], strict=True):
            self.hidden[one["MessageId"]] = self.clock.now() + timedelta(seconds=entry.get("DelaySeconds", 0))
        return answer

    def receive_message(self, **given: Any) -> dict[str, Any]:
        now, busy = self.clock.now(), set()
        for one in self.queues[given["QueueUrl"]]:
            if self.hidden.get(one["MessageId"], now) <= now:
                one["ReceiptHandle"] = None
            else:
                one["ReceiptHandle"] = one["ReceiptHandle"] or "delayed"
                busy.add(one["Attributes"].get("MessageGroupId"))
        answer = super().receive_message(**given)
        for one in answer.get("Messages", []):
            assert one["Attributes"].get("MessageGroupId") not in busy - {None}, "a message overtook its group's head"
            self.hidden[one["MessageId"]] = now + QUEUE_VISIBILITY
        return answer

    def change_message_visibility_batch(self, **given: Any) -> dict[str, Any]:
        by_handle = {one["ReceiptHandle"]: one["MessageId"] for one in self.queues[given["QueueUrl"]]}
        for entry in given["Entries"]:
            until = self.clock.now() + timedelta(seconds=entry["VisibilityTimeout"])
            self.hidden[by_handle[entry["ReceiptHandle"]]] = until
        return super().change_message_visibility_batch(**given)


class Bench:
    """An edge, and how the service calls it.

    Attributes:
        clock: The time of all.
        ran: What ran, and in which attempt.
        calls: What the edge called.
        comings: How often each message was handed over.
        invocations: How often the service called the edge with something.
    """

    batches = True
    app: App

    def __init__(self) -> None:
        self.ran: Ran = []
        self.calls: list[CallMade] = []
        self.comings: Counter[str] = Counter()
        self.invocations = 0
        self.clock = FakeClock()
        self.blocks = ExitStack()

    @contextmanager
    def claimed(self) -> Iterator[Troubled]:
        """The app's keys are claimed in that store within the block, at whose end the edge is closed."""
        store = Troubled(self.clock)
        with self.blocks, self.app.runtime.stores.lend(store):  # type: ignore[arg-type]  # it passes all calls on
            yield store

    def deliver(self) -> None:
        """The service hands over what is due."""
        raise NotImplementedError

    def dead(self) -> int:
        raise NotImplementedError


class LambdaBench(Bench):
    def __init__(self, ordered: bool) -> None:
        super().__init__()
        self.mapping = Mapping()
        self.app = self.mapping.app
        self.clock = self.mapping.clock
        self.mapping.sqs = TimedSqs(self.clock, *(url.rpartition("/")[2] for url in self.mapping.sqs.queues))
        self.queue = "orders.fifo" if ordered else "default"
        work = declare(self.mapping.app, self.ran, queue=self.queue)
        self.function: Callable[..., object] = lambda_handler(self.mapping.app)
        with self.mapping.connected():
            for number in range(MESSAGES):
                group = {"ordering_key": f"group-{number}"} if ordered else {}
                work.options(**group).send(key=f"key-{number}")  # type: ignore[attr-defined]  # it is a Task

    def deliver(self) -> None:
        with self.mapping.connected():
            while (event := self.mapping.receive(self.queue))["Records"]:
                self.mapping.invoke(self.function, event)
                self.invocations += 1
                for operation, parameters in self.mapping.calls:
                    names = tuple(entry["Id"] for entry in parameters.get("Entries", ()))
                    self.calls.append(CallMade(self.clock.elapsed(), operation, names))
                self.comings.update(record["messageId"] for record in event["Records"])

    def dead(self) -> int:
        return len(self.mapping.messages(self.queue.replace(".fifo", "-dlq.fifo").replace("default", "default-dlq")))


class FunctionsBench(Bench):
    def __init__(self) -> None:
        super().__init__()
        self.host = Host()
        self.app = self.host.app
        self.clock = self.host.clock
        work = declare(self.host.app, self.ran)
        self.function = functions_handler(self.host.app, queue="orders")
        store = self.host.bus.send

        def send(outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
            self.calls.append(CallMade(self.clock.elapsed(), "send", tuple(one.id for one in outgoing)))
            return store(outgoing)

        with self.host.connected():
            for number in range(MESSAGES):
                work.send(key=f"key-{number}")  # type: ignore[attr-defined]  # it is a Task
        self.host.bus.send = send  # type: ignore[method-assign]

    def deliver(self) -> None:
        with self.host.connected():
            while taken := self.host.take(10):
                assert self.host.invoke(self.function, taken), self.host.raised
                self.invocations += 1
                self.comings.update(one.id for one in taken)

    def dead(self) -> int:
        return len(self.host.dead())


class PushBench(Bench):
    batches = False  # Cloud Tasks takes one task a call

    def __init__(self) -> None:
        super().__init__()
        self.app, self.driver = self.blocks.enter_context(pushed(clock=self.clock))
        self.work = declare(self.app, self.ran)
        self.edge: PushEdge | None = None
        for number in range(MESSAGES):
            self.work.send(key=f"key-{number}")  # type: ignore[attr-defined]  # it is a Task

    def deliver(self) -> None:
        self.edge = self.edge or self.blocks.enter_context(edge_of(self.app))
        for one in self.driver.receive("default", limit=100, wait=timedelta(0), lease=timedelta(minutes=10)):
            before = len(self.driver.sent)
            headers = {
                "x-cloudtasks-queuename": "default",
                "x-cloudtasks-taskname": f"t-{one.id}",
                "x-cloudtasks-taskretrycount": str(one.deliveries - 1),
                "content-type": "application/cloudevents+json",
                "content-length": str(len(one.body)),
            }
            if one.failure is not None:
                headers["cloudq-failure"] = one.failure.encode().decode()
            response = handle(self.edge, headers, one.body)
            self.calls += [CallMade(self.clock.elapsed(), "send", (sent.id,)) for sent in self.driver.sent[before:]]
            self.comings[one.id] += 1
            step = Ack() if response.status == 200 else Release()
            self.driver.settle([Final(lease=one.lease, step=step)])

    def dead(self) -> int:
        return len(self.driver.stored("default-dlq"))


EDGES: dict[str, Callable[[], Bench]] = {
    "lambda": lambda: LambdaBench(ordered=False),
    "lambda, ordered": lambda: LambdaBench(ordered=True),
    "functions": FunctionsBench,
    "push": PushBench,
}


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("edge", EDGES)
def test_half_an_hour_without_the_store(edge: str, trouble: str) -> None:
    """No attempt is used, nothing is dead-lettered, and no message takes more than one call in five minutes.

    Where the service batches, they share their calls. Then each runs once, in its first attempt.
    """
    bench = EDGES[edge]()
    with bench.claimed() as store:
        store.trouble = TROUBLES[trouble](bench.clock)
        ends = bench.clock.elapsed() + OUTAGE
        while bench.clock.elapsed() < ends:
            bench.deliver()
            bench.clock.advance(STEP)
        assert not bench.ran
        assert not bench.dead()
        assert busiest(bench.calls) <= MESSAGES
        assert all(times <= OUTAGE / timedelta(minutes=5) for times in bench.comings.values())
        if bench.batches:  # one call for all that an invocation brought
            assert len(bench.calls) <= bench.invocations
        store.trouble = None
        for _ in range(100):
            bench.clock.advance(STEP)
            bench.deliver()
    assert Counter({f"key-{number}": 1 for number in range(MESSAGES)}) == Counter(key for key, _ in bench.ran)
    assert {attempt for _, attempt in bench.ran} == {1}
    assert not bench.dead()


@pytest.mark.parametrize("edge", EDGES)
def test_a_slow_store_is_no_outage(edge: str) -> None:
    """Each run takes that much longer; nothing waits."""
    bench = EDGES[edge]()
    with bench.claimed() as store:
        store.trouble = slow(bench.clock)
        for _ in range(40):
            bench.deliver()
            bench.clock.advance(STEP)
    assert Counter({f"key-{number}": 1 for number in range(MESSAGES)}) == Counter(key for key, _ in bench.ran)
    assert not bench.dead()
