"""Sends within a task's transaction leave with its commit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from tenacity import wait_fixed

from cloudq import App, Context, RetryPolicy
from cloudq.core import wire
from cloudq.core.message import Message
from cloudq.errors import SchemaMismatch, TransactionRefused
from cloudq.outbox.opening import create_tables, open_outbox
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """The user's database, with an outbox."""
    ledger = Ledger(tmp_path)
    create_tables(f"sqlite:///{ledger.path}")
    return ledger


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """An app on a backend that other processes can open."""
    app = App(f"sqlite:///{tmp_path / 'cloudq.db'}", retry=RetryPolicy(wait=wait_fixed(0)))

    @app.task("child")
    def child(n: int) -> None: ...

    @app.task("ordered", queue="in-order.fifo")
    def ordered(n: int) -> None: ...

    yield app
    app.close()


def work(app: App) -> None:
    """Works off what is in the queue."""
    assert Worker(app, WorkerSettings(burst=True)).run() == 0


def stored(ledger: Ledger, namespace: str = "") -> list[Message]:
    """What a relay finds, in its order."""
    with closing(open_outbox(f"sqlite:///{ledger.path}", namespace)) as outbox:
        batch = outbox.take(100)
        return [] if batch is None else [wire.decode(row.body, row.queue) for row in batch.rows]


def numbers(messages: list[Message]) -> list[object]:
    return [message.payload["n"] for message in messages]


class TestJoined:
    def test_what_is_committed_is_stored(self, app: App, ledger: Ledger) -> None:
        """With one send and with many, once each, whatever is handed over again; nothing goes to the queue itself."""

        @app.task("parent")
        def parent(context: Context) -> None:
            with closing(ledger.connect()) as connection, context.transaction(connection):
                first = app.send("child", {"n": context.attempt})
                rest = app.send_many([app.tasks["child"].call(n=10), app.tasks["child"].call(n=20)])
                sent.extend([first, *rest])
                assert app.queue("default").stats().ready == 0
            if context.attempt == 1:
                raise RuntimeError("behind the block")

        sent: list[object] = []
        app.send("parent")
        work(app)
        found = stored(ledger)
        assert numbers(found) == [1, 10, 20]
        assert [message.id for message in found] == [one.id for one in sent]  # type: ignore[attr-defined]

    def test_what_is_rolled_back_is_not(self, app: App, ledger: Ledger) -> None:
        """As a whole, and to a savepoint."""

        @app.task("parent")
        def parent(context: Context) -> None:
            with closing(ledger.connect()) as connection, context.transaction(connection):
                app.send("child", {"n": context.attempt})
                connection.execute("savepoint own")
                app.send("child", {"n": 100})
                connection.execute("rollback to own")
                if context.attempt == 1:
                    raise RuntimeError("within the block")

        app.send("parent")
        work(app)
        assert numbers(stored(ledger)) == [2]

    def test_order_is_kept(self, app: App, ledger: Ledger) -> None:
        """Of one key, within a transaction and between two; no block of the outbox is needed."""

        @app.task("parent")
        def parent(context: Context, start: int) -> None:
            with closing(ledger.connect()) as connection, context.transaction(connection):
                for n in range(start, start + 3):
                    app.send("ordered", {"n": n}, ordering_key=f"{n % 2}")

        for start in (0, 3):
            app.send("parent", {"start": start})
            work(app)
        found = stored(ledger)
        assert sorted(numbers(found)) == list(range(6))  # type: ignore[type-var]
        for key in ("0", "1"):
            mine = numbers([message for message in found if message.ordering_key == key])
            assert mine == sorted(mine)  # type: ignore[type-var]

    def test_an_outbox_of_the_same_connection_is_one_with_it(self, app: App, ledger: Ledger) -> None:
        """For code that writes into one wherever it runs."""

        @app.task("parent")
        def parent(context: Context) -> None:
            with closing(ledger.connect()) as connection, context.transaction(connection):
                with app.outbox(connection) as outbox:
                    outbox.send("child", {"n": 1})
                app.send("child", {"n": 2})

        app.send("parent")
        work(app)
        assert numbers(stored(ledger)) == [1, 2]

    def test_the_apps_namespace(self, app: App, ledger: Ledger) -> None:
        """So that each app's relay publishes its own."""
        app.configure(outbox_namespace="shop")

        @app.task("parent")
        def parent(context: Context) -> None:
            with closing(ledger.connect()) as connection, context.transaction(connection):
                app.send("child", {"n": 1})

        app.send("parent")
        work(app)
        assert numbers(stored(ledger)) == []
        assert numbers(stored(ledger, "shop")) == [1]

    def test_without_an_outbox_nothing_is_committed(self, app: App, tmp_path: Path) -> None:
        """The error says what is missing; else the child would be lost, or leave without its parent."""
        ledger = Ledger(tmp_path)
        seen = []

        @app.task("parent")
        def parent(context: Context) -> None:
            with closing(ledger.connect()) as connection, context.transaction(connection):
                connection.execute("insert into entry values ('a')")
                try:
                    app.send("child", {"n": 1})
                except SchemaMismatch as error:
                    seen.append(error)
                    raise

        app.send("parent")
        run_once(app)
        assert len(seen) == 1
        assert ledger.entries() == []

    def test_after_the_block_a_send_is_an_ordinary_one(self, app: App, ledger: Ledger) -> None:
        """Stored at once, where it is sent."""

        @app.task("parent", queue="parents")
        def parent(context: Context) -> None:
            with closing(ledger.connect()) as connection, context.transaction(connection):
                pass
            app.send("child", {"n": 1})

        app.send("parent")
        assert Worker(app, WorkerSettings(burst=True, queues={"parents": 1})).run() == 0
        assert app.queue("default").stats().ready == 1
        assert stored(ledger) == []


class TestAsync:
    @pytest.fixture(autouse=True)
    def needed(self) -> None:
        pytest.importorskip("greenlet")
        pytest.importorskip("aiosqlite")

    def test_asend_joins(self, app: App, ledger: Ledger) -> None:
        """A sync send is refused: it would have to block the loop that its connection needs."""
        refused = []

        @app.task("parent")
        async def parent(context: Context) -> None:
            engine = create_async_engine(f"sqlite+aiosqlite:///{ledger.path}")
            async with engine.connect() as connection, context.transaction(connection):
                await connection.execute(text("insert into entry values ('a')"))
                await app.asend("child", {"n": 1})
                await app.asend_many([app.tasks["child"].call(n=2)])
                try:
                    app.send("child", {"n": 3})
                except TransactionRefused as error:
                    refused.append(error.hint)
            await engine.dispose()

        app.send("parent")
        work(app)
        assert numbers(stored(ledger)) == [1, 2]
        assert refused == ["await asend(...)"]
        assert ledger.entries() == ["a"]

    def test_what_runs_beside_the_block_is_not_in_it(self, app: App, ledger: Ledger) -> None:
        """A coroutine that was started before it sends at once; one that was started within it joins."""

        @app.task("parent", queue="parents")
        async def parent(context: Context) -> None:
            entered, sent = asyncio.Event(), asyncio.Event()

            async def beside() -> None:
                await entered.wait()
                await app.asend("child", {"n": 1})
                sent.set()

            task = asyncio.ensure_future(beside())
            with closing(ledger.connect()) as connection, context.transaction(connection):
                entered.set()
                await sent.wait()
                await asyncio.gather(app.asend("child", {"n": 2}))
            await task

        app.send("parent")
        assert Worker(app, WorkerSettings(burst=True, queues={"parents": 1})).run() == 0
        assert app.queue("default").stats().ready == 1
        assert numbers(stored(ledger)) == [2]


def run_once(app: App) -> None:
    """Runs what is there once; what is to be tried again waits."""
    assert Worker(app, WorkerSettings(burst=True, max_tasks=1)).run() == 0
