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
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from cloudq import App, create_inbox
from cloudq.outbox.opening import create_tables
from cloudq.stores.opening import migrate_store
from tests.chaos.scale import sized
from tests.integration.processes import start_worker, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(180, 1800), func_only=True)]

MESSAGES, WORKERS, KILLS = sized((60, 3, 8), (5_000, 8, 30))
PATIENCE = sized(90, 900)
AFTER_THE_EFFECT = ("committed", "ended")
"""Killed there, a worker leaves an effect of which the claim's store knows nothing."""
BESIDE_THE_TASK = ("acknowledging", "acknowledged")
"""In another thread, which a task may have anything done beside."""
POINTS = ("claimed", "affected", "completed", "committed", "acknowledging", "acknowledged")
POINTS_OF_A_CLAIM = ("ended", "claim completed")
APP = Path(__file__).parent / "once" / "app.py"
LEASE = 6


class Place:
    """The queue, the database, and who was killed where."""

    def __init__(self, folder: Path, database: str, mode: str, *, claims: bool) -> None:
        self.folder = folder
        self.outbox = create_engine(database).url.set(drivername="postgresql").render_as_string(hide_password=False)
        self.store = f"{self.outbox}?prefix=once-{uuid4()}" if claims else "none"
        self.points = (*POINTS, *POINTS_OF_A_CLAIM) if claims else POINTS
        self.url = f"sqlite:///{folder / 'cloudq.db'}"
        self.engine = create_engine(database)
        self.mode = mode
        with self.engine.begin() as connection:
            for table in ("effect", "effect_of_child", "cloudq_inbox", "cloudq_outbox"):
                connection.execute(text(f"drop table if exists {table}"))
            connection.execute(text("create table effect (n integer not null)"))
            connection.execute(text("create table effect_of_child (n integer not null)"))
        with self.engine.connect() as connection:
            create_inbox(connection)
        create_tables(self.outbox)
        if claims:
            migrate_store(self.store)
        shutil.copy(APP, folder / "app.py")
        self.env = {
            "ONCE_FOLDER": str(folder),
            "ONCE_MODE": mode,
            "ONCE_QUEUE": self.url,
            "ONCE_DATABASE": database,
            "ONCE_STORE": self.store,
            "ONCE_LEASE": str(LEASE),
        }

    def start_worker(self, number: int) -> subprocess.Popen[bytes]:
        """One that runs one message at a time, so that a kill interrupts one."""
        arguments = ("--app", "app", "--lease", str(LEASE), "--wait", "1", "--concurrency", "1", "--prefetch", "4")
        arguments += ("--outbox", self.outbox, "--log-level", "error")
        return start_worker(self.folder, *arguments, log=f"worker-{number}.log", **self.env)

    def rows(self, table: str) -> Counter[int]:
        """How often each number is in the table."""
        with self.engine.connect() as connection:
            return Counter(row[0] for row in connection.execute(text(f"select n from {table}")))  # noqa: S608 - one of two

    def killed(self) -> list[tuple[str, str]]:
        """At which points, and at which message."""
        return [(path.name.split(".")[1], path.read_text()) for path in self.folder.glob("killed.*")]

    def is_done(self, app: App) -> bool:
        """Whether nothing is left in the queue and in the outbox."""
        stats = app.queue("default").stats()
        with self.engine.connect() as connection:
            waiting = connection.execute(text("select count(*) from cloudq_outbox")).scalar()
        return not (waiting or stats.ready or stats.in_flight or stats.delayed)


def work(place: Place) -> float:
    """Sends all and works it off, in so many seconds. Kills are spread over it; a killed worker is started anew."""
    app = App(place.url)

    app.configure(store="none")

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
            (place.folder / f"{place.points[given % len(place.points)]}.ticket").touch()
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
    mode, claims = request.param
    place = Place(tmp_path, postgresql, mode, claims=claims)
    yield place
    place.engine.dispose()


@pytest.mark.parametrize(
    "place", [("transaction", True), ("transaction", False)], ids=["claims", "none"], indirect=True
)
def test_each_effect_is_there_once(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither twice nor never, and so is that of the child which each task sends; with a store of keys, and without."""
    took = work(place)
    rows, children = place.rows("effect"), place.rows("effect_of_child")
    with capsys.disabled():
        print(f"\n[once] {MESSAGES:,} messages, {WORKERS} workers, {KILLS} kills, {took:.0f} s: {_shown(rows)}")
        print(f"[once] children: {_shown(children)}")
    assert Counter(range(MESSAGES)) == rows
    assert Counter(range(MESSAGES)) == children


@pytest.mark.parametrize("place", [("no completion", True)], ids=[""], indirect=True)
def test_it_is_the_completion_that_does_it(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The same run without the row in the inbox repeats effects."""
    took = work(place)
    rows = place.rows("effect")
    with capsys.disabled():
        print(f"\n[once] without completions, {took:.0f} s: {_shown(rows)}")
    assert set(range(MESSAGES)) == set(rows)
    assert sum(rows.values()) > MESSAGES


@pytest.mark.parametrize("place", [("claim", True)], ids=[""], indirect=True)
def test_a_claim_alone_repeats_in_its_window(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a transaction: only what a killed worker had done and not yet recorded."""
    took = work(place)
    rows = place.rows("effect")
    window = {int(number) for point, number in place.killed() if point in AFTER_THE_EFFECT + BESIDE_THE_TASK}
    with capsys.disabled():
        print(
            f"\n[once] claims alone, {took:.0f} s: {_shown(rows)}; {len(window)} kills that may have been in the window"
        )
    assert set(range(MESSAGES)) == set(rows)
    assert {number for number, count in rows.items() if count > 1} <= window
    assert sum(rows.values()) <= MESSAGES + len(window)


def _shown(rows: Counter[int]) -> str:
    repeated = [n for n, count in rows.items() if count > 1]
    return f"{sum(rows.values()):,} rows of {len(rows):,}, {len(repeated):,} of them more than once"
