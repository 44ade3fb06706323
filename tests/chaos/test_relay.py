"""Relays of an outbox die between any two steps: what was committed arrives, nothing else, in the order of its keys."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cloudq import App
from cloudq.app.outbox import Outbox
from cloudq.core.message import Message
from cloudq.core.wire import decode
from tests.chaos.scale import SEED, sized
from tests.integration.processes import end, environment, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(180, 900), func_only=True)]

SENDS, KILLS = sized((600, 4), (10_000, 20))
PRODUCERS, RELAYS, KEYS, A_TRANSACTION = 4, 2, 3, 5
PATIENCE = sized(90, 300)


class RolledBack(Exception):
    """A producer changes its mind."""


class Producer:
    """One thread that sends in transactions, of which a third is rolled back; with keys of its own.

    Attributes:
        committed: What has to arrive, as texts.
        failed: What went wrong, which nothing may.
    """

    def __init__(self, app: App, url: str, number: int, sends: int) -> None:
        self._app, self._url, self._number, self._sends = app, url, number, sends
        self._chance = random.Random(SEED + number)
        self._next: Counter[str] = Counter()
        self.committed: list[str] = []
        self.failed: list[BaseException] = []
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        from sqlalchemy import create_engine

        engine = create_engine(self._url)
        try:
            for _ in range(0, self._sends, A_TRANSACTION):
                numbers = self._next.copy()
                sent: list[str] = []
                try:
                    with engine.begin() as connection:
                        with self._app.outbox(connection) as outbox:
                            sent += [self._send(outbox, numbers) for _ in range(A_TRANSACTION)]
                        if self._chance.random() < 1 / 3:
                            raise RolledBack
                except RolledBack:
                    continue
                self._next = numbers
                self.committed += sent
        except BaseException as error:
            self.failed.append(error)
        finally:
            engine.dispose()

    def _send(self, outbox: Outbox, numbers: Counter[str]) -> str:
        key = f"{self._number}-{self._chance.randrange(KEYS)}"
        numbers[key] += 1
        text = f"{key}:{numbers[key]}"
        if self._chance.random() < 0.7:
            outbox.send("t", {"text": text}, queue="o.fifo", ordering_key=key)
        else:
            outbox.send("t", {"text": text}, queue="plain")
        return text


def start_relay(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A relay of its own process, with small batches: so a kill is likelier to come in between."""
    with (folder / "relay.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "cloudq", "outbox", "relay", "--batch", "20", *arguments],
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def arrived(file: Path, queue: str) -> list[Message]:
    """What is in a queue, in the order in which it was published."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        rows = connection.execute("select body from message where queue = ? order by seq", [queue]).fetchall()
    return [decode(body, queue) for (body,) in rows]


def test_two_relays_that_are_killed(postgresql: str, tmp_path: Path) -> None:
    """Two relays at a time, killed again and again while producers commit and roll back."""
    from sqlalchemy import create_engine, text

    from cloudq.outbox.opening import create_tables

    print(f"seed {SEED}")
    chance = random.Random(SEED)
    create_tables(postgresql)
    file = tmp_path / "queue.db"
    app = App(f"sqlite:///{file}?synchronous=normal")
    app.driver()
    engine = create_engine(postgresql, isolation_level="AUTOCOMMIT")

    def left() -> int:
        with engine.connect() as connection:
            return int(connection.execute(text("select count(*) from cloudq_outbox")).scalar_one())

    producers = [Producer(app, postgresql, number, SENDS // PRODUCERS) for number in range(PRODUCERS)]
    for producer in producers:
        producer.thread.start()
    options = ("--outbox", postgresql, "--backend", f"sqlite:///{file}?synchronous=normal")
    relays = [start_relay(tmp_path, *options) for _ in range(RELAYS)]
    try:
        for kill in range(KILLS):
            # At a moment of work: some messages after the last kill.
            before, step = published(file), chance.randrange(1, max(2, SENDS // KILLS // 3))
            wait_until(
                lambda before=before, step=step: published(file) >= before + step or not still(producers, left),
                within=PATIENCE,
                what="some are published",
            )
            victim = kill % RELAYS
            relays[victim].kill()
            relays[victim].wait()
            relays[victim] = start_relay(tmp_path, *options)
        for producer in producers:
            producer.thread.join(PATIENCE)
        wait_until(lambda: not left(), within=PATIENCE, what="the outbox is empty")
    finally:
        codes = [end(relay) for relay in relays]
        engine.dispose()
        app.close()
    log = (tmp_path / "relay.log").read_text()
    assert [] == [error for producer in producers for error in producer.failed]
    # One that was started last may not have come so far as to take signals.
    assert {0, -signal.SIGTERM} >= set(codes), log[-2000:]
    ordered, plain = arrived(file, "o.fifo"), arrived(file, "plain")
    texts = [str(message.payload["text"]) for message in (*ordered, *plain)]
    committed = [one for producer in producers for one in producer.committed]
    assert sorted(committed) == sorted(set(texts))
    print(f"{len(committed)} committed of {SENDS}, {len(texts) - len(set(texts))} repeated, {KILLS} kills")
    assert SENDS * 0.5 < len(committed) < SENDS * 0.8
    of_key: dict[str, list[int]] = defaultdict(list)
    for message in ordered:
        key, _, number = str(message.payload["text"]).partition(":")
        if int(number) not in of_key[key]:  # a repetition may come later
            of_key[key].append(int(number))
    assert PRODUCERS * KEYS == len(of_key)
    for numbers in of_key.values():
        assert sorted(numbers) == numbers


def published(file: Path) -> int:
    """How many messages the backend has."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return int(connection.execute("select count(*) from message").fetchone()[0])


def still(producers: list[Producer], left: Callable[[], int]) -> bool:
    """Whether there is, or will be, something to publish."""
    return any(producer.thread.is_alive() for producer in producers) or bool(left())
