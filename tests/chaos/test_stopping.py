"""Workers that are told to stop: how soon an idle one ends, and that nothing is hidden from the others meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest

from cloudq import App
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from tests.chaos.http_proxy import Forward, HttpProxy, Request, Response
from tests.chaos.scale import sized
from tests.integration.processes import end, start_worker, wait_until
from tests.integration.sqs.conftest import REGION, Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180, func_only=True)]

TASKS = """
import os
import time
import cloudq

app = cloudq.App()

@app.task("stamp")
def stamp(n: int) -> None:
    with open("started.txt", "a") as file:
        file.write(f"{n} {os.getpid()} {time.time()}\\n")
"""
A_SECOND = 10
BEFORE, AFTER = 5, sized(5, 25)
WAIT = 8
# At full size this is measured on a machine with nothing else to do. In the suite it may be busy, and then this says
# only that the worker didn't wait for its poll to end, which takes longer there.
LONG = sized(20, WAIT)
AT_ONCE = sized(12.0, 1.5)
# A second poll would take the worker beyond this.
AFTER_ITS_POLL = sized(WAIT + 6, WAIT + 1)


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Where messages are, and where workers run.

    Attributes:
        folder: The workers' folder.
        env: What names the backend to them.
        patience: How long an idle worker may take to end, in seconds.
        wait: How long its polls take, in seconds.
    """

    folder: Path
    env: dict[str, str]
    patience: float
    wait: int = LONG

    def lines(self) -> list[list[str]]:
        """What the tasks have written: number, process, time."""
        file = self.folder / "started.txt"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    @contextmanager
    def app(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
        """An app that sends to the backend."""
        for name, value in self.env.items():
            monkeypatch.setenv(name, value)
        app = App()
        yield app
        app.close()


class SlowReceives:
    """The policy by which a receive that brings something takes a while, and longer once eight are under way.

    Attributes:
        open: How many receives are under way.
        most: How many were at most.
        patience: How long one takes, in seconds.
    """

    def __init__(self) -> None:
        self.open = 0
        self.most = 0
        self.patience = 0.1

    async def __call__(self, request: Request, forward: Forward) -> Response:
        if request.action != "ReceiveMessage":
            return await forward(request)
        self.open += 1
        self.most = max(self.most, self.open)
        if self.open == 8:
            self.patience = 1  # so that it stays eight, and the backlog lasts, until the test has seen it
        try:
            answer = await forward(request)
            await asyncio.sleep(self.patience)
            return answer
        finally:
            self.open -= 1


@pytest.fixture(params=["sqlite", "servicebus", "sqs"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Each backend that is polled."""
    (tmp_path / "tasks.py").write_text(TASKS)
    if request.param == "sqlite":
        yield Site(folder=tmp_path, env={"CLOUDQ_URL": f"sqlite:///{tmp_path}/q.db"}, patience=AT_ONCE)
    elif request.param == "servicebus":
        with ServiceBusEmulator(admin_port=None) as emulator:
            emulator.create_queue("default")
            env = {"CLOUDQ_URL": "servicebus://", "CLOUDQ_SERVICEBUS_CONNECTION_STRING": emulator.connection_string}
            yield Site(folder=tmp_path, env=env, patience=AT_ONCE)
    else:
        request.getfixturevalue("queue")
        env = {"CLOUDQ_URL": request.getfixturevalue("place").url}
        yield Site(folder=tmp_path, env=env, patience=AFTER_ITS_POLL, wait=WAIT)


def test_an_idle_worker_ends_in_time(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, or where polls are waited for a second after the wait, with exit code 0."""
    took = []
    for phase in (1.0, 3.5, 6.0):  # of the poll under way
        process = start_worker(site.folder, "--app", "tasks", "--wait", str(site.wait), **site.env)
        try:
            with site.app(monkeypatch) as app:
                done = len(site.lines())
                app.send("stamp", {"n": 0})
                wait_until(lambda done=done: len(site.lines()) > done, within=60, what="it works")  # type: ignore[misc]  # bound early
            time.sleep(phase)  # part of what is measured
            began = time.monotonic()
            process.terminate()
            assert 0 == process.wait(60)
            took.append(time.monotonic() - began)
        finally:
            end(process)
    print(f"\n[stopping] idle: {', '.join(f'{one:.2f} s' for one in took)}")
    assert max(took) <= site.patience, (site.folder / "worker.log").read_text()


def test_nothing_is_hidden_by_a_worker_that_stops(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two workers one gets SIGTERM, while ten messages a second come: each starts soon."""
    sent: dict[int, float] = {}
    arguments = ("--app", "tasks", "--wait", str(site.wait))
    first = start_worker(site.folder, *arguments, log="first.log", **site.env)
    second = start_worker(site.folder, *arguments, log="second.log", **site.env)
    try:
        with site.app(monkeypatch) as app:
            app.send("stamp", {"n": -1})
            wait_until(lambda: len(site.lines()) > 0, within=60, what="they work")
            wait_until(
                lambda: all("leases" in (site.folder / log).read_text() for log in ("first.log", "second.log")),
                within=60,
                what="both have begun",
            )
            began = time.monotonic()
            for n in range((BEFORE + AFTER) * A_SECOND):
                time.sleep(max(0.0, began + n / A_SECOND - time.monotonic()))
                if n == BEFORE * A_SECOND:
                    first.terminate()
                sent[n] = time.time()
                app.send("stamp", {"n": n})
            assert 0 == first.wait(60)
            wait_until(lambda: {int(n) for n, _, _ in site.lines()} >= set(sent), within=60, what="all have started")
    finally:
        for process in (first, second):
            end(process)
    started = {int(n): float(at) for n, _, at in reversed(site.lines())}
    took = sorted(started[n] - sent[n] for n in sent)
    runs = Counter(pid for _, pid, _ in site.lines())
    print(
        f"\n[stopping] started after {took[len(took) // 2]:.3f} s at the median, {took[-1]:.2f} s at most; {dict(runs)}"
    )
    assert took[-1] <= sized(0.8 * site.wait, 2.0), (site.folder / "first.log").read_text()


def test_eight_open_polls_are_waited_for(
    tmp_path: Path, place: Place, queue: str, proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM with a backlog: none is cut, what all bring goes back, and the worker ends a second after its wait."""
    (tmp_path / "tasks.py").write_text(TASKS)
    monkeypatch.setenv("CLOUDQ_URL", place.url)
    slow = proxy.policy = SlowReceives()
    app, count = App(), sized(2000, 6000)

    @app.task("stamp")
    def stamp(n: int) -> None:
        """Of the worker's."""

    app.send_many(stamp.call(n) for n in range(count))
    url = f"sqs://{REGION}?prefix={place.prefix}&endpoint_url={quote(proxy.url, safe='')}"
    process = start_worker(tmp_path, "--app", "tasks", CLOUDQ_URL=url)
    site = Site(folder=tmp_path, env={}, patience=AFTER_ITS_POLL)
    try:
        wait_until(lambda: slow.open == 8, within=60, what="eight polls are under way")
        began = time.monotonic()
        process.terminate()
        assert 0 == process.wait(60)
        took = time.monotonic() - began
    finally:
        end(process)
    ran = [int(n) for n, _, _ in site.lines()]
    print(f"\n[stopping] with {slow.most} open polls: {took:.2f} s; {len(ran)} of {count} had run")
    assert took <= site.patience, (tmp_path / "worker.log").read_text()
    assert "leaving" not in (tmp_path / "worker.log").read_text()
    assert (len(set(ran)), 8) == (len(ran), slow.most)
    assert (count - len(ran), 0) == place.counts(queue)
    app.close()
