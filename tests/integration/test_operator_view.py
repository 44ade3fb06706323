"""A worker loses its backend, its store or its database file for 30 seconds: what its operator sees, moment by moment.

docs/how-to/runbook.md tells it to operators; each of its sections about an outage is one of these tests.
"""

from __future__ import annotations

import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq.app import App
from cloudq.core.driver import QueueStats
from cloudq.drivers.memory import MemoryDriver
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.errors import BackendUnavailable, StorageFull, StorageReadOnly, StoreUnavailable
from cloudq.stores.memory import MemoryStore
from cloudq.testing.clock import FakeClock
from tests.integration.operator_view import ANY_PORT, Desk, Lost
from tests.integration.store_outages import Troubled, raising
from tests.unit.worker.fakes import running, until

SECOND = timedelta(seconds=1)
MINUTE = 60 * SECOND
OUTAGE = 30 * SECOND
# Extended half-way, so within the outage; longer than the outage from then on.
LEASE = 50 * SECOND
RECEIVE, SETTLE, LEASES = ("receive", "q"), ("settle", "q"), ("leases", "")


class Tasks:
    """An app with a task that runs until it may end, and one that doesn't."""

    def __init__(self) -> None:
        self.app = app = App("memory://", default_queue="q")
        self.ran: list[str] = []
        self.running = threading.Event()
        self.may_end = threading.Event()

        @app.task("long")
        def long() -> None:
            self.running.set()
            self.may_end.wait(120)
            self.ran.append("long")

        @app.task("short")
        def short(name: str = "short") -> None:
            self.ran.append(name)

        @app.task("keyed", idempotency_key="{name}")
        def keyed(name: str) -> None:
            self.ran.append(name)


@pytest.fixture
def tasks() -> Iterator[Tasks]:
    tasks = Tasks()
    yield tasks
    tasks.may_end.set()


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    clock = FakeClock()
    yield clock
    clock.advance(MINUTE)  # threads that idle for a while end


def is_calm(desk: Desk) -> bool:
    return not desk.outages() and desk.page().status == 200


def test_thirty_seconds_without_the_backend(tasks: Tasks, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """Each thing that fails is in the log once, when it begins and when it ends, and all the while in page and metrics.

    The worker is alive but not ready; a task that runs on is settled afterwards, and runs once.
    """
    caplog.set_level("INFO")
    driver = Lost(MemoryDriver(clock=clock))
    with (
        tasks.app.using(driver, clock=clock, store=MemoryStore(clock)),
        running(tasks.app, lease=LEASE, concurrency=2, health=ANY_PORT, metrics=ANY_PORT) as worker,
    ):
        desk = Desk(worker, tasks.app, clock, caplog)
        tasks.app.send("long")
        assert tasks.running.wait(60)
        desk.wait_for(lambda: is_calm(desk))
        assert {(): 1} == desk.metrics("cloudq_worker_ready")
        desk.said()

        driver.lose(BackendUnavailable("no route to 10.0.0.7"))
        # A poll that is under way ends first: 8 seconds at most.
        desk.pass_time_until(lambda: RECEIVE in desk.outages(), most=10 * SECOND)
        assert [("ERROR", "queue q can't be received from, trying again until it can: no route to 10.0.0.7")] == (
            desk.said(least=1)
        )
        assert (503, ["queue q: BackendUnavailable, see the log"], {"q": "down"}) == desk.page()
        assert 200 == desk.page("/healthz").status
        assert {(): 0} == desk.metrics("cloudq_worker_ready")
        assert 3 == desk.stats()

        desk.pass_time_until(lambda: LEASES in desk.outages(), most=25 * SECOND)
        assert [("WARNING", "leases can't be extended, trying again until they are over: no route to 10.0.0.7")] == (
            desk.said(least=1)
        )
        assert "leases can't be extended, see the log" in desk.page().problems

        tasks.may_end.set()
        desk.wait_for(lambda: SETTLE in desk.outages())
        assert [
            (
                "WARNING",
                "settlements of queue q fail, nothing is received from it until they are confirmed again: "
                "no route to 10.0.0.7",
            )
        ] == desk.said(least=1)
        assert {RECEIVE, SETTLE, LEASES} == desk.outages()
        desk.pass_time(OUTAGE - clock.elapsed())
        assert [] == desk.said()
        assert {("running",): 0, ("settling",): 1, ("waiting",): 0} == desk.metrics("cloudq_deliveries")

        driver.find()
        desk.pass_time_until(lambda: is_calm(desk), most=MINUTE)  # twice the longest pause between two polls
        desk.wait_for(lambda: "received from again" in caplog.text and "are confirmed again" in caplog.text)
        texts = [text for _, text in desk.said()]
        assert any(text.startswith("queue q can be received from again") for text in texts), texts
        assert any(text.startswith("settlements of queue q are confirmed again") for text in texts), texts
        until(lambda: desk.stats() == QueueStats(ready=0, delayed=0, in_flight=0, dead=0))
        assert ["long"] == tasks.ran
        assert {} == {key: lost for key, lost in desk.metrics("cloudq_leases_lost_total").items() if lost}


def test_thirty_seconds_without_the_store(tasks: Tasks, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """What has a key waits, in no attempt; the queue isn't received from, and page and metrics say why."""
    caplog.set_level("INFO")
    driver, store = MemoryDriver(clock=clock), Troubled(clock)
    with (
        tasks.app.using(driver, clock=clock, store=store),  # type: ignore[arg-type]  # answers as a store
        running(tasks.app, lease=LEASE, concurrency=2, health=ANY_PORT, metrics=ANY_PORT) as worker,
    ):
        desk = Desk(worker, tasks.app, clock, caplog)
        desk.wait_for(lambda: is_calm(desk))
        desk.said()

        store.trouble = raising(StoreUnavailable("no route to the store"))(clock)
        assert is_calm(desk)  # nothing has needed it yet
        tasks.app.send("keyed", {"name": "first"})
        desk.pass_time_until(lambda: ("store", "q") in desk.outages(), most=10 * SECOND)
        desk.wait_for(lambda: "isn't asked for more" in caplog.text)
        texts = {text for level, text in desk.said() if level in {"WARNING", "ERROR"}}
        # Whether it is paused is looked for before a receive, of which there may be none any more.
        assert {
            "the store of idempotency keys is down, so what needs it waits: no route to the store",
            "queue q isn't asked for more until the store of idempotency keys is back",
        } == texts - {"whether queue q is paused can't be read, so nothing changes: no route to the store"}
        status, problems, queues = desk.page()
        assert (503, {"q": "store is down"}) == (status, queues)
        assert [
            "queue q: the store of idempotency keys is down, and nothing is received meanwhile; see the log"
        ] == problems
        assert 200 == desk.page("/healthz").status
        desk.pass_time(10 * SECOND)  # a poll that was under way may still bring something
        desk.pass_time_until(lambda: not worker.worker._intake.polled(), most=0 * SECOND)
        tasks.app.send("short")
        desk.pass_time(OUTAGE - 10 * SECOND)
        assert [] == tasks.ran
        desk.wait_for(lambda: not driver.stats("q").in_flight)
        stats = desk.stats()
        assert isinstance(stats, QueueStats)
        # What was sent meanwhile, and the one that met the outage: it comes back in some minutes.
        assert (1, 1, 0) == (stats.ready, stats.delayed, stats.dead)

        store.trouble = None
        desk.pass_time_until(lambda: tasks.ran == ["short"], most=40 * SECOND)
        desk.wait_for(lambda: is_calm(desk))
        desk.pass_time_until(lambda: tasks.ran == ["short", "first"], most=10 * MINUTE)
        texts = [text for _, text in desk.said()]
        assert any(text.startswith("the store of idempotency keys answers again, after") for text in texts), texts
        assert "the store of idempotency keys is back: the queues are asked again" in texts
        assert {1} == {
            value for key, value in desk.metrics("cloudq_tasks_ended_total").items() if key[0] == "succeeded" and value
        }


@contextmanager
def full_disk(_driver: SQLiteDriver) -> Iterator[None]:
    """No file of this process may grow beyond what is smaller than the database's log: as if the disk were full."""
    limit, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))


@contextmanager
def read_only(driver: SQLiteDriver) -> Iterator[None]:
    """The database takes no writes, as on a disk that was remounted after an error."""
    assert driver._session is not None
    writer = driver._session.database._writer
    writer.execute("PRAGMA query_only=1")
    try:
        yield
    finally:
        writer.execute("PRAGMA query_only=0")


@pytest.mark.parametrize(("trouble", "error"), [(full_disk, StorageFull), (read_only, StorageReadOnly)])
def test_thirty_seconds_without_room_or_rights_for_the_database(
    tasks: Tasks,
    clock: FakeClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    *,
    trouble: Callable[[SQLiteDriver], Iterator[None]],
    error: type[Exception],
) -> None:
    """Every write fails and every look works: sends are refused, nothing starts, and what has run is settled later."""
    caplog.set_level("INFO")
    driver = SQLiteDriver(tmp_path / "q.db", clock=clock)
    with (
        tasks.app.using(driver, clock=clock, store=MemoryStore(clock)),
        running(tasks.app, lease=LEASE, concurrency=2, health=ANY_PORT, metrics=ANY_PORT) as worker,
    ):
        desk = Desk(worker, tasks.app, clock, caplog)
        for _ in range(40):
            tasks.app.send("short", {"name": "x" * 4000}, delay=5 * SECOND)
        tasks.app.send("long")
        assert tasks.running.wait(60)
        desk.wait_for(lambda: is_calm(desk))
        desk.said()

        with trouble(driver):
            with pytest.raises(error):
                tasks.app.send("short")
            desk.pass_time(7 * SECOND)
            # Before there is anything to settle: nothing is received while settlements fail, so no receive could fail.
            desk.pass_time_until(lambda: RECEIVE in desk.outages(), most=10 * SECOND)
            tasks.may_end.set()
            desk.pass_time_until(lambda: {RECEIVE, SETTLE} <= desk.outages(), most=10 * SECOND)
            stats = desk.stats()  # a look needs no room
            assert isinstance(stats, QueueStats)
            assert (40, 1) == (stats.ready, stats.in_flight)
            assert 503 == desk.page().status
            assert 200 == desk.page("/healthz").status
            received, settled = sorted(text for _, text in desk.said(least=2))
            assert received.startswith("queue q can't be received from, trying again until it can: ")
            assert settled.startswith("settlements of queue q ")
            assert str(tmp_path / "q.db") in received  # with the file, and below what to do
            assert "hint: " in received
            desk.pass_time(15 * SECOND)
        desk.pass_time_until(lambda: len(tasks.ran) == 41 and is_calm(desk), most=MINUTE)
        assert 1 == tasks.ran.count("long")
        until(lambda: desk.stats() == QueueStats(ready=0, delayed=0, in_flight=0, dead=0))


@pytest.mark.parametrize(("trouble", "error"), [(full_disk, StorageFull), (read_only, StorageReadOnly)])
def test_a_worker_that_cant_lease_says_why(
    tasks: Tasks,
    clock: FakeClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    *,
    trouble: Callable[[SQLiteDriver], Iterator[None]],
    error: type[Exception],
) -> None:
    """As soon as there is a message to receive: a look at an empty queue writes nothing, and so finds nothing out."""
    caplog.set_level("INFO")
    driver = SQLiteDriver(tmp_path / "q.db", clock=clock)
    with (
        tasks.app.using(driver, clock=clock, store=MemoryStore(clock)),
        running(tasks.app, lease=LEASE, concurrency=1, health=ANY_PORT, metrics=ANY_PORT) as worker,
    ):
        desk = Desk(worker, tasks.app, clock, caplog)
        for _ in range(40):
            tasks.app.send("short", {"name": "x" * 4000}, delay=15 * SECOND)
        desk.wait_for(lambda: is_calm(desk))
        desk.said()
        with trouble(driver):
            desk.pass_time(10 * SECOND)
            assert is_calm(desk)
            desk.pass_time_until(lambda: RECEIVE in desk.outages(), most=20 * SECOND)
            [(level, text)] = desk.said(least=1)
            assert ("ERROR", True) == (level, text.startswith("queue q can't be received from, trying again until"))
            assert (503, [f"queue q: {error.__name__}, see the log"], {"q": "down"}) == desk.page()
            desk.pass_time(OUTAGE - 10 * SECOND)
        desk.pass_time_until(lambda: len(tasks.ran) == 40 and is_calm(desk), most=MINUTE)
