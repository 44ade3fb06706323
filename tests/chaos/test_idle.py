"""An idle worker: how much it asks, and how soon it starts what comes."""

from __future__ import annotations

import json
import statistics
import threading
import time
from datetime import timedelta

import pytest

from cloudq import App
from cloudq.drivers.sqs import SQSDriver
from cloudq.testing.clock import FakeClock
from tests.chaos.http_proxy import Forward, HttpProxy, Request, Response
from tests.chaos.scale import sized
from tests.integration.processes import wait_until
from tests.integration.sqs.conftest import Place
from tests.unit.drivers.sqs.fakes import FakeSqs
from tests.unit.worker.fakes import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

TASKS = sized(30, 200)
POLLS = 500


class EmptySqs(FakeSqs):
    """Queues that stay empty: a long poll takes as long as it was asked to, of fake time."""

    def __init__(self, clock: FakeClock, *queues: str) -> None:
        super().__init__(*queues)
        self._clock = clock
        self._begun = clock.now()
        self.polled_for = timedelta(0)
        self.enough = threading.Event()

    def receive_message(self, *, WaitTimeSeconds: int, **options: object) -> dict:  # noqa: N803 - the service's name
        self._called("ReceiveMessage", options)
        if len(self.calls) >= POLLS:
            self.polled_for = self._clock.now() - self._begun
            self.enough.set()
            threading.Event().wait(0.01)  # until it is stopped
        else:
            self._clock.advance(timedelta(seconds=WaitTimeSeconds))
        return {}


def test_an_idle_poller_makes_a_call_in_eight_seconds() -> None:
    """Over an hour: 0.125 calls a second, and none but receives."""
    clock = FakeClock()
    sqs = EmptySqs(clock, "default")
    app = App()
    app.task("noop")(lambda: None)
    with (
        app.using(SQSDriver("test", account="1", client=sqs, clock=clock), clock=clock),
        running(app),
    ):
        assert sqs.enough.wait(60)
    assert sqs.polled_for > timedelta(hours=1)
    rate = (POLLS - 1) / sqs.polled_for.total_seconds()
    print(f"\n[idle] {rate:.3f} calls/s over {sqs.polled_for}")
    assert rate <= 0.13
    assert {"ReceiveMessage"} == set(sqs.operations())


class Answered:
    """The policy that notes when a poll was answered with a message."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}

    async def __call__(self, request: Request, forward: Forward) -> Response | None:
        response = await forward(request)
        if request.action == "ReceiveMessage":
            now = time.monotonic()
            for message in json.loads(response.body).get("Messages") or ():
                self.at[json.loads(message["Body"])["data"]["n"]] = now
        return response


@pytest.mark.parametrize("wire", ["auto"])  # it is about when calls are made
def test_a_task_of_an_idle_queue_starts_at_once(proxy: HttpProxy, place: Place, queue: str, driver: SQSDriver) -> None:
    """From the service's answer to the handler's first line there is no pause: the quickest takes less than 10 ms."""
    answered = proxy.policy = Answered()
    app = App()
    started: dict[int, float] = {}

    @app.task("stamp")
    def stamp(n: int) -> None:
        started[n] = time.monotonic()

    sender = App()
    with app.using(driver), sender.using(SQSDriver(client=place.client, prefix=place.prefix)), running(app) as worker:
        for n in range(TASKS):
            sender.send("stamp", {"n": n})
            wait_until(lambda n=n: n in started, within=60, what="it has started")  # type: ignore[misc]  # binds n
            wait_until(lambda: not worker.worker.snapshot().settling, within=60, what="the worker is idle")
    took = sorted((started[n] - answered.at[n]) * 1000 for n in range(TASKS))
    median = statistics.median(took)
    print(f"\n[idle] from the answer to the start: median {median:.2f} ms, 95 % {took[int(TASKS * 0.95)]:.2f} ms")
    assert took[0] < 10  # a pause would be in all of them; a busy machine is in most
