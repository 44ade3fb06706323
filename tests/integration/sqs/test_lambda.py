"""Tasks under AWS's runtime client, fed from LocalStack's queues in the way of an event source mapping."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq import App
from cloudq.drivers.sqs import SQSDriver
from tests.integration.sqs.conftest import REGION, Place
from tests.integration.sqs.lambda_runtime import FunctionFailed, LambdaRuntime, SqsMapping

# Only the test itself is timed: the first one's fixtures may have to install LocalStack.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

SECOND = timedelta(seconds=1)

TASKS = """
import os
import time
from pathlib import Path
import cloudq
from cloudq import Context, DeadLetter, RetryPolicy
from cloudq.aws_lambda import handler as lambda_handler
from datetime import timedelta
from tenacity import wait_fixed

HERE = Path(__file__).parent
app = cloudq.App()
handler = lambda_handler(app)

def ran(line):
    with (HERE / "ran").open("a") as out:
        out.write(f"{time.time():.3f} {line}\\n")

@app.task("ok")
def ok(n: int) -> None:
    ran(f"ok {n}")

@app.task("async")
async def asynchronous(n: int) -> None:
    ran(f"async {n}")

@app.task("once-more", retry=RetryPolicy(wait=wait_fixed(2)))
def once_more(context: Context) -> None:
    ran(f"once-more {context.attempt}")
    if context.attempt == 1:
        raise ValueError("not yet")

@app.task("dead")
def dead() -> None:
    raise DeadLetter("no such order")

@app.task("long", time_limit=timedelta(seconds=1.8))
def long(n: int) -> None:
    ran(f"long {n}")
    time.sleep(1)

@app.task("stuck")
def stuck() -> None:
    ran("stuck")
    time.sleep(60)

@app.task("forks")
def forks() -> None:
    os.fork()

@app.task("aforks")
async def aforks() -> None:
    os.fork()

@app.task("step", queue="orders.fifo", ordering_key="{key}", retry=RetryPolicy(wait=wait_fixed(1)))
def step(key: str, n: int) -> None:
    seen = HERE / f"{key}{n}"
    if n == 2 and not seen.exists():
        seen.touch()
        raise ValueError("not yet")
    ran(f"{key}{n}")
"""


def lines(folder: Path) -> list[str]:
    return [line.partition(" ")[2] for line in (folder / "ran").read_text().splitlines()]


def times(folder: Path, of: str) -> list[float]:
    return [float(line.split()[0]) for line in (folder / "ran").read_text().splitlines() if of in line]


@pytest.fixture
def folder(tmp_path: Path, place: Place) -> Path:
    (tmp_path / "function.py").write_text(TASKS)
    driver = SQSDriver(REGION, prefix=place.prefix, client=place.client)
    driver.make_queue("default")
    driver.make_queue("orders.fifo")
    return tmp_path


def started(folder: Path, place: Place, timeout: timedelta = 30 * SECOND) -> LambdaRuntime:
    return LambdaRuntime(folder, "function.handler", timeout=timeout, CLOUDQ_URL=place.url, PYTHONPATH=_root())


def _root() -> str:
    return str(Path(__file__).parents[3])


def test_tasks_run_retries_wait_and_poison_dies(folder: Path, place: Place) -> None:
    """A batch of everything: done is deleted, a retry comes after its delay, what can't run is in the dead letters."""
    app = App(place.url)
    for n in range(4):
        app.send("ok" if n % 2 else "async", {"n": n})
    app.send("dead")
    app.send("once-more")
    place.client.send_message(QueueUrl=place.url_of("default"), MessageBody="no event")
    with started(folder, place) as runtime:
        mapping = SqsMapping(place.client, place.url_of("default"), runtime, visibility=30 * SECOND)
        failed: list[str] = []
        until = time.monotonic() + 60
        while place.counts("default") != (0, 0) and time.monotonic() < until:
            failed += mapping.poll() or []
    assert 1 == len(failed), "only the retry stays in the queue, once"
    assert sorted(["async 0", "ok 1", "async 2", "ok 3", "once-more 1", "once-more 2"]) == sorted(lines(folder))
    first, second = times(folder, "once-more")
    print(f"\nthe retry after 2 s came after {second - first:.2f} s")
    assert 1.9 <= second - first < 20, "30 s is the visibility timeout that the batch came with"
    reasons = sorted(dead.failure.reason for dead in app.queue("default").dead_letters.peek() if dead.failure)
    assert 2 == len(reasons)
    assert "no such order" == reasons[0]
    assert reasons[1].startswith("undecodable")
    app.close()


def test_fifo_groups_keep_their_order_under_failures(folder: Path, place: Place) -> None:
    """One record of each group fails once: those behind it wait in the queue, and run after it."""
    app = App(place.url)
    for n in range(1, 5):
        for key in "ab":
            app.send("step", {"key": key, "n": n}, queue="orders.fifo", ordering_key=key)
    app.close()
    with started(folder, place) as runtime:
        mapping = SqsMapping(place.client, place.url_of("orders.fifo"), runtime, visibility=3 * SECOND)
        assert {"batchItemFailures": []} == runtime.invoke({"Records": []})  # warm: it starts before the leases do
        until = time.monotonic() + 60
        failed: list[list[str]] = []
        while place.counts("orders.fifo") != (0, 0) and time.monotonic() < until:
            if (answer := mapping.poll()) is not None:
                failed.append(answer)
    ran = lines(folder)
    for key in "ab":
        assert [f"{key}{n}" for n in range(1, 5)] == [line for line in ran if line.startswith(key)]
    assert any(len(answer) > 1 for answer in failed), "followers were in the batch of a failure"


def test_the_time_that_is_left_bounds_what_starts(folder: Path, place: Place) -> None:
    """Three tasks that may take 1.8 s each, in a function of 5 s: the third stays, and the answer is in time."""
    app = App(place.url)
    for n in range(3):
        app.send("long", {"n": n})
    app.close()
    with started(folder, place, 5 * SECOND) as runtime:
        mapping = SqsMapping(place.client, place.url_of("default"), runtime, visibility=30 * SECOND)
        first = mapping.poll()
        assert first is not None
        assert 1 == len(first)
        assert 2 == len(lines(folder))
        assert (0, 1) == place.counts("default")


def test_done_work_survives_a_task_that_hangs(folder: Path, place: Place) -> None:
    """A task that nothing stops is left behind before the function is killed: what was done isn't run again."""
    app = App(place.url)
    app.send("ok", {"n": 1})
    with started(folder, place, 4 * SECOND) as runtime:
        mapping = SqsMapping(place.client, place.url_of("default"), runtime, visibility=30 * SECOND)
        assert [] == mapping.poll()  # warm
        app.send("ok", {"n": 2})
        app.send("stuck")
        begun = time.monotonic()
        failed = mapping.poll()
        took = time.monotonic() - begun
        assert failed is not None
        assert ["ok 1", "ok 2", "stuck"] == sorted(lines(folder))
        print(f"\nanswered after {took:.2f} s of 4 s, {len(failed)} failed")
        assert 1 == len(failed)
        assert (0, 1) == place.counts("default")
    app.close()


def test_a_task_that_comes_back_from_a_fork_twice_counts_once(folder: Path, place: Place) -> None:
    """The child that it forgot to end neither runs the rest of the batch nor answers for it."""
    app = App(place.url)
    for task, payload in (("forks", {}), ("aforks", {}), ("ok", {"n": 1})):
        app.send(task, payload)
    app.close()
    with started(folder, place) as runtime:
        mapping = SqsMapping(place.client, place.url_of("default"), runtime, visibility=30 * SECOND)
        assert [] == mapping.poll()
        assert {"batchItemFailures": []} == runtime.invoke({"Records": []})
    assert ["ok 1"] == lines(folder)
    assert (0, 0) == place.counts("default")


def test_a_foreign_event_fails_as_a_whole(folder: Path, place: Place) -> None:
    """What isn't from the app's queues is refused with the reason, in Lambda's own report."""
    with started(folder, place) as runtime:
        with pytest.raises(FunctionFailed, match=r"PushRefused: .*EventBridge"):
            runtime.invoke({"detail-type": "t", "source": "s", "detail": {}})
        assert {"batchItemFailures": []} == runtime.invoke({"Records": []})
