"""Relays die at any moment, transactions roll back: exactly what was committed arrives, of each key in its order."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from cloudq import App
from cloudq.core.driver import Ack, Final, is_push
from cloudq.outbox.opening import create_tables
from tests.chaos.scale import SEED, sized
from tests.integration.processes import environment, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(180, 1_800), func_only=True)]

# Three sends a transaction, of which a third roll back.
TRANSACTIONS, WRITERS, KILLS, KEYS = sized((120, 3, 3, 5), (3_334, 6, 20, 12))
PATIENCE = sized(120, 900)
ORDERS, MAIL = "orders.fifo", "mail"


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def outbox_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The user's database, with an empty outbox."""
    if request.param == "sqlite":
        file = tmp_path / "user.db"
        file.touch()
        url = f"sqlite:///{file}"
    else:
        pytest.importorskip({"postgresql": "psycopg", "mariadb": "pymysql"}[request.param])
        url = request.getfixturevalue(request.param)
    create_tables(url)
    return url


@pytest.fixture
def engine(outbox_url: str) -> Iterator[Engine]:
    """The user's own engine, with a table of their own."""
    patient = {"connect_args": {"timeout": PATIENCE}} if outbox_url.startswith("sqlite") else {}
    engine = create_engine(outbox_url, pool_size=WRITERS, **patient)
    with engine.begin() as connection:
        connection.execute(text("drop table if exists purchase"))
        connection.execute(text("create table purchase (id varchar(40) primary key)"))
        connection.execute(text("delete from cloudq_outbox"))
    yield engine
    engine.dispose()


class Writers:
    """Users' transactions: each sends to two keys, in either order, and one message without a key.

    Attributes:
        of_key: What was committed, by its key, in the order of the commits.
        unkeyed: What was committed without a key.
        done: How many transactions have ended.
    """

    def __init__(self, app: App, engine: Engine) -> None:
        self.app = app
        self.engine = engine
        self.of_key: dict[str, list[str]] = {f"key-{number}": [] for number in range(KEYS)}
        self.unkeyed: set[str] = set()
        self.done = 0
        self.kills = 0
        self._lock = threading.Lock()
        self._killed = threading.Condition()

    def note_kill(self) -> None:
        """Another relay is dead: more may be sent."""
        with self._killed:
            self.kills += 1
            self._killed.notify_all()

    def _await_kills(self, number: int) -> None:
        """Keeps a share of the transactions for each relay that is to be killed."""
        with self._killed:
            share = number * (KILLS + 1) // TRANSACTIONS
            assert self._killed.wait_for(lambda: self.kills >= min(share, KILLS), PATIENCE)

    def run(self, writer: int) -> None:
        """A writer's share of the transactions. Raises what a database raises: a deadlock, say."""
        chance = random.Random(f"{SEED}-{writer}")
        for number in range(writer, TRANSACTIONS, WRITERS):
            self._await_kills(number)
            name = f"{number:05}"
            keys = chance.sample(sorted(self.of_key), 2)
            with self.engine.connect() as connection:
                connection.execute(text("insert into purchase values (:id)"), {"id": name})
                with self.app.outbox(connection) as outbox:
                    for key in keys:
                        self._send(outbox, f"{name}/{key}", ordering_key=key)
                        if chance.random() < 0.2:  # undone within the transaction
                            connection.execute(text("savepoint s"))
                            self._send(outbox, f"{name}/undone/{key}", ordering_key=key)
                            connection.execute(text("rollback to savepoint s"))
                    self._send(outbox, name)
                if number % 3 == 2:
                    connection.rollback()
                else:
                    # From here to the end of the commit nobody else has numbers of these keys.
                    for key in keys:
                        self.of_key[key].append(f"{name}/{key}")
                    connection.commit()
                    self.unkeyed.add(name)
            with self._lock:
                self.done += 1

    def _send(self, outbox, name: str, ordering_key: str | None = None) -> None:  # type: ignore[no-untyped-def]
        if ordering_key is None:
            outbox.send("note", {"name": name}, queue=MAIL, idempotency_key=name)
        else:
            outbox.send("pay", {"name": name}, queue=ORDERS, ordering_key=ordering_key, idempotency_key=name)

    @property
    def committed(self) -> int:
        """How many messages."""
        return len(self.unkeyed) + sum(map(len, self.of_key.values()))


@contextmanager
def relay(folder: Path, url: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A relay's process, which is killed at the end of the block if it hasn't ended."""
    command = [sys.executable, "-m", "cloudq", "outbox", "relay", "--outbox", url, "--batch", "20", *arguments]
    with (folder / "relay.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--backend", f"sqlite:///{folder / 'queues.db'}"],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def end_lease(engine: Engine) -> None:
    """As if the lease of the relay that was killed were over: on SQLite the next one waits for that."""
    if engine.dialect.name == "sqlite":
        with engine.begin() as connection:
            connection.execute(text("update cloudq_outbox_relays set held_until = 0"))


def arrived(app: App, queue: str) -> list[tuple[str | None, str]]:
    """All messages of a queue, as a worker is given them: key and name."""
    driver = app.driver()
    assert not is_push(driver)
    found: list[tuple[str | None, str]] = []
    while deliveries := driver.receive(queue, limit=100, wait=timedelta(0), lease=timedelta(minutes=5)):  # type: ignore[attr-defined]
        for delivery in deliveries:
            assert delivery.message is not None
            found.append((delivery.message.ordering_key, str(delivery.message.payload["name"])))
        results = driver.settle([Final(lease=delivery.lease, step=Ack()) for delivery in deliveries])  # type: ignore[attr-defined]
        assert all(result.error is None for result in results)
    return found


def test_exactly_what_was_committed_arrives_in_the_order_of_each_key(
    engine: Engine, outbox_url: str, tmp_path: Path
) -> None:
    """Relays are killed while users' transactions go on; the queue knows by its keys what came before.

    No transaction of a user's is refused, though all of them lock two keys in either order.
    """
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    app = App(f"sqlite:///{tmp_path / 'queues.db'}")
    writers = Writers(app, engine)
    with ThreadPoolExecutor(WRITERS) as threads:
        futures = [threads.submit(writers.run, writer) for writer in range(WRITERS)]

        def published() -> int:
            return sum(app.queue(queue).stats().ready or 0 for queue in (ORDERS, MAIL))

        for _ in range(KILLS):
            more = published() + chance.randint(1, TRANSACTIONS // KILLS // 2)
            with relay(tmp_path, outbox_url) as process:
                wait_until(
                    lambda more=more, process=process: published() >= more or process.poll() is not None,  # type: ignore[misc]
                    within=PATIENCE,
                    what=f"{more} messages published",
                )
                assert process.poll() is None, (tmp_path / "relay.log").read_text()
            end_lease(engine)
            writers.note_kill()
        for future in futures:
            future.result(PATIENCE)
    with relay(tmp_path, outbox_url, "--once") as process:
        assert process.wait(PATIENCE) == 0, (tmp_path / "relay.log").read_text()
    print(f"{writers.done} transactions, {writers.committed} messages, {writers.kills} kills")
    in_order: dict[str, list[str]] = {key: [] for key in writers.of_key}
    for key, name in arrived(app, ORDERS):
        in_order[str(key)].append(name)
    notes = [name for _, name in arrived(app, MAIL)]
    assert in_order == writers.of_key
    assert sorted(notes) == sorted(writers.unkeyed)
    with engine.connect() as connection:
        purchases = connection.execute(text("select id from purchase")).scalars().all()
    assert sorted(purchases) == sorted(writers.unkeyed)
    assert writers.done == TRANSACTIONS
    app.close()
