"""Workers as real processes, and keys in the store beside their SQLite backend: no setting, and no second run."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from cloudq import App
from cloudq.core.store import ClaimKey, RecordState
from tests.integration.processes import end, start_worker, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SHOP = """
import pathlib, time
from datetime import timedelta

import cloudq

app = cloudq.App("sqlite:///shop.db?dedup_window=0")


@app.task("charge", idempotency_key="order-{order}", lease=timedelta(seconds=61))
def charge(context: cloudq.Context, order: int) -> None:
    with open("charges.txt", "a") as charges:
        charges.write(f"{order} {context.fence}\\n")
    ship.send(order=order)
    while pathlib.Path("hold").exists():
        time.sleep(0.05)


@app.task("ship")
def ship(order: int) -> None:
    with open("shipped.txt", "a") as shipped:
        shipped.write(f"{order}\\n")
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def app_of(shop: Path) -> App:
    return App(f"sqlite:///{shop}/shop.db?dedup_window=0")


def send(shop: Path, *orders: int) -> None:
    app = app_of(shop)
    for order in orders:
        app.send("charge", {"order": order}, idempotency_key=f"order-{order}")
    app.close()


def state(shop: Path, order: int) -> RecordState | None:
    app = app_of(shop)
    store = app.runtime.store
    assert store is not None
    record = store.show(ClaimKey("charge", f"order-{order}"))
    app.close()
    return None if record is None else record.state


@pytest.mark.parametrize("processes", [(), ("--processes", "2")], ids=["threads", "processes"])
def test_what_is_sent_twice_runs_once(shop: Path, processes: tuple[str, ...]) -> None:
    """By two workers at once, each of which is handed some of the messages; a later one runs nothing either."""
    send(shop, *(order for _ in range(3) for order in range(10)))
    workers = [start_worker(shop, "--app", "shop", "--burst", *processes, log=f"{n}.log") for n in range(2)]
    for worker in workers:
        assert 0 == worker.wait(90), "\n".join(log.read_text() for log in shop.glob("*.log"))
    send(shop, 3, 4)
    assert 0 == start_worker(shop, "--app", "shop", "--burst", *processes).wait(60)
    assert [str(order) for order in range(10)] == sorted(line.split()[0] for line in lines(shop / "charges.txt"))
    assert [str(order) for order in range(10)] == sorted(lines(shop / "shipped.txt"))


def test_a_worker_that_is_killed_gives_its_key_back(shop: Path) -> None:
    """Once its claim has lapsed the next one runs it again, with a greater fence; its child is sent once."""
    (shop / "shop.py").write_text(SHOP.replace("seconds=61", "seconds=20"))
    (shop / "hold").touch()
    send(shop, 1)
    first = start_worker(shop, "--app", "shop", "--lease", "40")
    try:
        wait_until(lambda: len(lines(shop / "charges.txt")) == 1, within=60, what="the first run")
        wait_until(lambda: lines(shop / "shipped.txt") == ["1"], within=60, what="its child")
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert RecordState.IN_PROGRESS is state(shop, 1)
    (shop / "hold").unlink()
    second = start_worker(shop, "--app", "shop", "--lease", "40")
    try:
        wait_until(lambda: state(shop, 1) is RecordState.COMPLETED, within=120, what="the second run")
    finally:
        assert 0 == end(second)
    [before, after] = [int(line.split()[1]) for line in lines(shop / "charges.txt")]
    assert before < after
    assert 0 == start_worker(shop, "--app", "shop", "--burst").wait(60)
    assert ["1"] == lines(shop / "shipped.txt")
