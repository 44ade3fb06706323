"""How many calls of the API a task costs, counted in front of the service. The floor is 0.30: three calls for ten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import get_args

import pytest

from cloudq import App
from cloudq.aws_wire.wires import WireName
from cloudq.drivers.sqs import SQSDriver
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.chaos.http_proxy import Forward, HttpProxy, Request, Response
from tests.integration.sqs.conftest import REGION, Place

# Only the test itself is timed: the first one's fixtures may have to install LocalStack.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

TASKS = 1_000
THREADS = 16


class Counted:
    """The policy of a proxy that passes everything on, and counts it."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()

    async def __call__(self, request: Request, forward: Forward) -> Response:
        self._calls[request.action] += 1
        return await forward(request)

    def taken(self) -> Counter[str]:
        """What was called since the last time."""
        calls, self._calls = self._calls, Counter()
        return calls


@pytest.fixture
def calls() -> Counted:
    return Counted()


@pytest.fixture(params=get_args(WireName))
def driver(
    request: pytest.FixtureRequest, place: Place, queue: str, localstack: str, calls: Counted
) -> Iterator[SQSDriver]:
    """One whose calls are counted, over either wire."""
    with HttpProxy(localstack) as proxy:
        proxy.policy = calls
        driver = SQSDriver(REGION, prefix=place.prefix, endpoint_url=proxy.url, wire=request.param)
        yield driver
        driver.close()


def test_a_thousand_tasks_cost_the_floor(place: Place, queue: str, calls: Counted, driver: SQSDriver) -> None:
    """`send_many` costs 0.10 calls a task, a worker's receives and deletes at most 0.22, and nothing else is called."""
    app = App()
    ran: list[int] = []

    @app.task("no-op")
    def no_op(n: int) -> None:
        ran.append(n)

    with app.using(driver):
        app.send_many(no_op.call(n) for n in range(TASKS))
        sent = calls.taken()
        assert {"GetQueueUrl": 1, "SendMessageBatch": TASKS // 10} == dict(sent)
        Worker(app, WorkerSettings(max_tasks=TASKS, wait=timedelta(seconds=1))).run()
        worked = calls.taken()
    assert list(range(TASKS)) == sorted(ran)
    assert (0, 0) == place.counts(queue)
    assert {"ReceiveMessage", "DeleteMessageBatch"} == set(worked)
    print(f"\ncalls a task: sent {sent.total() / TASKS:.3f}, worked {worked.total() / TASKS:.3f} {dict(worked)}")
    assert worked.total() / TASKS <= 0.22
    assert (sent.total() + worked.total()) / TASKS <= 0.32


def test_threads_that_send_one_by_one_share_calls(place: Place, queue: str, calls: Counted, driver: SQSDriver) -> None:
    """Sixteen threads, as of a web server, need at most 0.20 calls a task: who waits for a call joins the next one."""
    app = App()
    task = app.task("no-op")(lambda: None)
    with app.using(driver), ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lambda _: [task.send() for _ in range(TASKS // THREADS)], range(THREADS)))
    sent = calls.taken()
    count = TASKS // THREADS * THREADS
    print(f"\ncalls a task: {THREADS} threads {sent.total() / count:.3f}")
    assert (count, 0) == place.counts(queue)
    assert {"GetQueueUrl", "SendMessageBatch"} == set(sent)
    assert sent.total() / count <= 0.20
