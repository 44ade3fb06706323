"""Workers share a rate: in any second as many tasks start as may, also while some of them are killed."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from cloudq import App
from tests.chaos.http_proxy import Counting, HttpProxy
from tests.chaos.scale import FULL, sized
from tests.integration.processes import start_worker, wait_until
from tests.integration.sqs.conftest import REGION, Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(120, 400), func_only=True)]

RATE = 50
WORKERS, SECONDS, KILLS = sized((2, 6, (3,)), (4, 60, (20, 40)))

APP = """
import os
import time

import cloudq

app = cloudq.App({url!r}, store={store!r})
file = os.open("starts.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@app.task("paced", rate="{rate}/s")
def paced(context: cloudq.Context, n: int) -> None:
    os.write(file, b"%d %d %d\\n" % (time.clock_gettime_ns(time.CLOCK_BOOTTIME), n, context.attempt))
"""


class Start(NamedTuple):
    """One start: when, in seconds, of which message, and in which attempt."""

    at: float
    n: int
    attempt: int


def starts(folder: Path) -> list[Start]:
    """All that there were, in their order."""
    file = folder / "starts.txt"
    lines = file.read_bytes().splitlines() if file.exists() else []
    return sorted(Start(int(at) / 1e9, int(n), int(attempt)) for at, n, attempt in map(bytes.split, lines))


def most_in_a_second(seen: list[Start]) -> int:
    """The most starts in any second, wherever it begins."""
    moments = [start.at for start in seen]
    return max(bisect_left(moments, at + 1) - place for place, at in enumerate(moments))


def numbered(n: int) -> None:
    """The parameters of what the workers' own module does."""


@pytest.mark.usefixtures("queue")
@pytest.mark.parametrize("kills", [(), KILLS], ids=["undisturbed", "killed"])
def test_workers_share_a_rate(
    tmp_path: Path, place: Place, proxy: HttpProxy, kills: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """No more starts than the rate says; at full size as many, within three percent, and 120 % of it in any second.

    No lease is lost and no attempt used by waiting, and no more than half a call a task goes to the queue beside its
    deletion. Workers that are killed change none of that. When a start begins that a worker has let go is the
    machine's, and so is what a second has: the small size, which runs beside other tests, says nothing of that.
    """
    url = f"sqs://{REGION}?prefix={place.prefix}&endpoint_url={quote(proxy.url, safe='')}"
    (tmp_path / "app.py").write_text(APP.format(url=url, store=f"sqlite:///{tmp_path}/store.db", rate=RATE))
    app = App(url)
    app.task("paced")(numbered)
    app.send_many(app.tasks["paced"].call(n=n) for n in range(RATE * (SECONDS + 12)))
    app.close()
    arguments = ("--app", "app", "--log-level", "info")
    logs = [f"worker-{number}.log" for number in range(WORKERS)]
    workers = [start_worker(tmp_path, *arguments, log=log) for log in logs]
    try:
        wait_until(lambda: len(starts(tmp_path)) > 2 * RATE, within=60, what="they have begun")
        counting = proxy.policy = Counting()
        began = time.clock_gettime(time.CLOCK_BOOTTIME)
        for number, kill in enumerate(kills):
            time.sleep(max(0.0, began + kill - time.clock_gettime(time.CLOCK_BOOTTIME)))  # when it dies is the test
            workers[number].kill()
            workers[number].wait()
            workers[number] = start_worker(tmp_path, *arguments, log=logs[number])
        time.sleep(max(0.0, began + SECONDS - time.clock_gettime(time.CLOCK_BOOTTIME)))  # how many start is the test
        calls = counting.taken()
    finally:
        for process in workers:
            process.kill()
            process.wait()
    seen = [start for start in starts(tmp_path) if began <= start.at < began + SECONDS]
    busiest = most_in_a_second(seen)
    with capsys.disabled():
        print(f"\n[rate] {len(seen):,} starts in {SECONDS} s after {len(kills)} kills, {busiest} in the busiest second")
        print(f"[rate] {dict(calls)}, load {os.getloadavg()[0]:.1f}")
    assert 0 < len(seen) <= sized(1.25, 1.03) * RATE * SECONDS
    if FULL:
        assert len(seen) >= 0.97 * RATE * SECONDS
        assert busiest <= 1.2 * RATE
    assert {start.attempt for start in seen} == {1}
    others = sum(count for action, count in calls.items() if not action.startswith("DeleteMessage"))
    assert others <= len(seen) / 2
    assert not any("lost the lease" in (tmp_path / log).read_text() for log in logs)
