"""Results, progress and cancellation on every edge: real workers, with threads and processes, and what is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cloudq import App, CancelAnswer, DeadLetter, NoResult, Task
from cloudq.aws_lambda import handler as lambda_handler
from cloudq.azure_functions import handler as functions_handler
from cloudq.core.driver import Ack, Final, Release
from cloudq.push import PushEdge, handle
from cloudq.stores.memory import MemoryStore
from cloudq.testing.clock import FakeClock
from tests.integration.processes import wait_until, worker
from tests.unit.aws_lambda.fakes import Mapping
from tests.unit.azure_functions.fakes import Host
from tests.unit.push.fakes import edge_of, pushed

HOUR = timedelta(hours=1)


# ── edges that services call ─────────────────────────────────────────────────────────────────────────────


class Edge:
    """An edge with two tasks, whose service hands over what was sent."""

    queue = "default"
    app: App
    clock: FakeClock

    def __init__(self) -> None:
        self.blocks = ExitStack()

    def declare(self) -> None:
        """After the edge has its app, before it is opened."""

        @self.app.task("double", keep_result=HOUR, queue=self.queue)
        def double(n: int) -> list[int]:
            if n == 13:
                raise DeadLetter("unlucky")
            return [2 * n]

        @self.app.task("adouble", keep_result=HOUR, queue=self.queue)
        async def adouble(n: int) -> int:
            return 2 * n

        self.double: Task[[int], list[int]] = double
        self.adouble: Task[[int], Any] = adouble
        self.blocks.enter_context(self.app.runtime.stores.lend(MemoryStore(self.clock)))

    def deliver(self) -> None:
        """All of it, once."""
        raise NotImplementedError


class LambdaEdge(Edge):
    def __init__(self) -> None:
        super().__init__()
        self.mapping = Mapping()
        self.app, self.clock = self.mapping.app, self.mapping.clock
        self.declare()
        self.function: Callable[..., object] = lambda_handler(self.app)
        self.blocks.enter_context(self.mapping.connected())

    def deliver(self) -> None:
        while (event := self.mapping.receive(self.queue))["Records"]:
            self.mapping.invoke(self.function, event)


class FunctionsEdge(Edge):
    queue = "orders"

    def __init__(self) -> None:
        super().__init__()
        self.host = Host()
        self.app, self.clock = self.host.app, self.host.clock
        self.declare()
        self.function = functions_handler(self.app, queue=self.queue)
        self.blocks.enter_context(self.host.connected())

    def deliver(self) -> None:
        while taken := self.host.take(10):
            assert self.host.invoke(self.function, taken), self.host.raised


class PushedEdge(Edge):
    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.app, self.driver = self.blocks.enter_context(pushed(clock=self.clock))
        self.declare()
        self.edge: PushEdge = self.blocks.enter_context(edge_of(self.app))

    def deliver(self) -> None:
        for one in self.driver.receive("default", limit=100, wait=timedelta(0), lease=timedelta(minutes=10)):
            headers = {
                "x-cloudtasks-queuename": "default",
                "x-cloudtasks-taskname": f"t-{one.id}",
                "x-cloudtasks-taskretrycount": str(one.deliveries - 1),
                "content-type": "application/cloudevents+json",
                "content-length": str(len(one.body)),
            }
            response = handle(self.edge, headers, one.body)
            self.driver.settle([Final(lease=one.lease, step=Ack() if response.status == 200 else Release())])


@pytest.fixture(params=[LambdaEdge, FunctionsEdge, PushedEdge])
def edge(request: pytest.FixtureRequest) -> Iterator[Edge]:
    edge: Edge = request.param()
    with edge.blocks:
        yield edge


def test_an_edge_that_is_called_notes_results(edge: Edge) -> None:
    """Of sync and async tasks; and what is dead."""
    sent, asent, dead = edge.double.send(21), edge.adouble.send(4), edge.double.send(13)
    edge.deliver()
    assert sent.result(timedelta(0)) == [42]
    assert asent.result(timedelta(0)) == 8
    with pytest.raises(NoResult, match="unlucky"):
        dead.result(timedelta(0))


def test_an_edge_that_is_called_runs_nothing_that_was_cancelled(edge: Edge) -> None:
    """It acknowledges the message."""
    sent = edge.double.options(track=True).send(21)
    assert edge.app.result(sent).status == "waiting"
    assert edge.app.cancel_run(sent) is CancelAnswer.WILL_NOT_RUN
    edge.deliver()
    assert edge.app.result(sent).status == "cancelled"
    edge.deliver()
    assert edge.app.result(sent).status == "cancelled"


# ── real workers ─────────────────────────────────────────────────────────────────────────────────────────

SHOP = """
import asyncio
import time
from datetime import timedelta

import cloudq

app = cloudq.App("sqlite:///shop.db")


@app.task("double", keep_result=timedelta(hours=1), lease=timedelta(seconds=60))
def double(n: int) -> dict[str, int]:
    return {"doubled": 2 * n}


@app.task("adouble", keep_result=timedelta(hours=1))
async def adouble(n: int) -> int:
    return 2 * n


@app.task("die", track=True)
def die() -> None:
    raise cloudq.DeadLetter("wrong order")


@app.task("long", track=True)
def long(context: cloudq.Context) -> None:
    for number in range(3_000):
        context.progress(number, 3_000)
        if context.cancelled.is_set():
            raise RuntimeError("not wanted")
        time.sleep(0.02)


@app.task("along", track=True)
async def along(context: cloudq.Context) -> None:
    await asyncio.sleep(60)
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """An app on the file that the worker serves; its tasks are known by their names only."""
    (tmp_path / "shop.py").write_text(SHOP)
    app = App(f"sqlite:///{tmp_path}/shop.db")
    yield app
    app.close()


@pytest.mark.slow
@pytest.mark.parametrize("how", [("--concurrency", "4"), ("--processes", "2")], ids=["threads", "processes"])
def test_a_worker_notes_results_progress_and_what_is_cancelled(shop: App, tmp_path: Path, how: tuple[str, str]) -> None:
    """By the store beside its file."""
    with worker(tmp_path, "--app", "shop", *how):
        assert shop.send("double", {"n": 21}).result(timedelta(seconds=60)) == {"doubled": 42}
        assert shop.send("adouble", {"n": 4}).result(timedelta(seconds=60)) == 8
        dead = shop.send("die")
        with pytest.raises(NoResult, match="wrong order"):
            dead.result(timedelta(seconds=60))
        runs = [shop.send("long"), shop.send("along")]
        wait_until(lambda: (shop.result(runs[0]).done or 0) > 10, within=60, what="progress")
        wait_until(lambda: shop.result(runs[1]).status == "running", within=60, what="a run")
        for run in runs:
            assert shop.cancel_run(run) is CancelAnswer.ASKED
        for run in runs:
            with pytest.raises(NoResult, match="cancelled"):
                run.result(timedelta(seconds=60))
        assert "not wanted" in shop.result(runs[0]).reason
