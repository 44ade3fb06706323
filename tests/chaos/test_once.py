"""Exactly once where a database is the effect: whatever is handed over again, and wherever workers are killed.

Each message is handed over one to four times, to others while it runs. Workers are killed between any two of claim,
effect, completion and acknowledgement. The effect is a row in PostgreSQL, in a table that would take it twice.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from cloudq import App
from cloudq.user_database import Dialect, inbox, opened, run
from cloudq.user_database.tables import creating
from tests.chaos.scale import sized
from tests.integration.processes import start_worker, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(180, 1800), func_only=True)]

MESSAGES, WORKERS, KILLS = sized((120, 3, 8), (5_000, 8, 30))
PATIENCE = sized(90, 900)
POINTS = ("claimed", "affected", "completed", "committed", "acknowledging", "acknowledged")
APP = Path(__file__).parent / "once" / "app.py"
LEASE = 3


class Place:
    """The queue, the database, and who was killed where."""

    def __init__(self, folder: Path, database: str, mode: str) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'cloudq.db'}"
        self.engine = create_engine(database)
        self.mode = mode
        with self.engine.begin() as connection:
            for table in ("effect", "effect_of_child", "cloudq_inbox"):
                connection.execute(text(f"drop table if exists {table}"))
            connection.execute(text("create table effect (n integer not null)"))
            connection.execute(text("create table effect_of_child (n integer not null)"))
        with self.engine.connect() as connection:
            run(opened(connection), creating([inbox.TABLE], Dialect.POSTGRESQL))
            connection.commit()
        shutil.copy(APP, folder / "app.py")
        self.env = {
            "ONCE_FOLDER": str(folder),
            "ONCE_MODE": mode,
            "ONCE_QUEUE": self.url,
            "ONCE_DATABASE": database,
        }

    def start_worker(self, number: int) -> subprocess.Popen[bytes]:
        """One that runs one message at a time, so that a kill interrupts one."""
        arguments = ("--app", "app", "--lease", str(LEASE), "--wait", "1", "--concurrency", "1", "--prefetch", "4")
        return start_worker(self.folder, *arguments, "--log-level", "error", log=f"worker-{number}.log", **self.env)

    def rows(self, table: str) -> Counter[int]:
        """How often each number is in the table."""
        with self.engine.connect() as connection:
            return Counter(row[0] for row in connection.execute(text(f"select n from {table}")))  # noqa: S608 - one of two

    def killed(self) -> list[tuple[str, str]]:
        """At which points, and at which message."""
        return [(path.name.split(".")[1], path.read_text()) for path in self.folder.glob("killed.*")]

    def is_done(self, app: App) -> bool:
        """Whether nothing is left in the queue."""
        stats = app.queue("default").stats()
        return not (stats.ready or stats.in_flight or stats.delayed)


def work(place: Place) -> float:
    """Sends all and works it off, in so many seconds. Kills are spread over it; a killed worker is started anew."""
    app = App(place.url)

    @app.task("parent", idempotency_key="parent-{n}")
    def parent(n: int) -> None:
        """The parameters of what the workers' own module does."""

    app.send_many(parent.call(n=n) for n in range(MESSAGES))
    workers = [place.start_worker(number) for number in range(WORKERS)]
    began = time.monotonic()
    given = 0

    def goes_on() -> bool:
        nonlocal given
        for number, process in enumerate(workers):
            if process.poll() is not None:
                workers[number] = place.start_worker(number)
        taken = len(place.killed())
        if given < KILLS and given == taken and sum(place.rows("effect").values()) >= given * MESSAGES // (KILLS + 1):
            (place.folder / f"{POINTS[given % len(POINTS)]}.ticket").touch()
            given += 1
        return taken == KILLS and place.is_done(app)

    try:
        wait_until(goes_on, within=PATIENCE, what="everything has run and is settled")
    finally:
        app.close()
        for process in workers:
            process.kill()  # there is nothing left to be given back
            process.wait()
    return time.monotonic() - began


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, postgresql: str) -> Iterator[Place]:
    """A queue and a database, for workers of the test's mode."""
    pytest.importorskip("psycopg")
    place = Place(tmp_path, postgresql, request.param)
    yield place
    place.engine.dispose()


@pytest.mark.parametrize("place", ["transaction"], indirect=True)
def test_each_effect_is_there_once(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither twice nor never, and so are the children that the task sends."""
    took = work(place)
    rows = place.rows("effect")
    with capsys.disabled():
        print(f"\n[once] {MESSAGES:,} messages, {WORKERS} workers, {KILLS} kills, {took:.0f} s: {_shown(rows)}")
    assert Counter(range(MESSAGES)) == rows


@pytest.mark.parametrize("place", ["no completion"], indirect=True)
def test_it_is_the_completion_that_does_it(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The same run without the row in the inbox repeats effects."""
    took = work(place)
    rows = place.rows("effect")
    with capsys.disabled():
        print(f"\n[once] without completions, {took:.0f} s: {_shown(rows)}")
    assert set(range(MESSAGES)) == set(rows)
    assert sum(rows.values()) > MESSAGES


def _shown(rows: Counter[int]) -> str:
    repeated = [n for n, count in rows.items() if count > 1]
    return f"{sum(rows.values()):,} rows of {len(rows):,}, {len(repeated):,} of them more than once"
