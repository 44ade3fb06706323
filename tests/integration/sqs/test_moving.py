"""SQS's own redrive, as LocalStack has it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from tenacity import stop_after_attempt, wait_none

from cloudq import App, Context, RetryPolicy
from cloudq.core import wire
from cloudq.core.driver import Outgoing
from cloudq.core.message import Message
from cloudq.drivers.sqs import SQSDriver
from cloudq.errors import BackendError, ConfigurationError
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.integration.sqs.conftest import REGION, Place
from tests.unit.cli.conftest import cli, folder  # noqa: F401 - fixtures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

LETTERS = 30
ZERO = timedelta(0)


def test_dead_letters_moved_by_the_service_have_all_attempts_again(place: Place, queue: str, cli) -> None:  # noqa: F811
    """Thirty retries' copies that died at their fifth attempt are moved back; each may fail again, and is done."""
    app = App()
    driver = SQSDriver(REGION, prefix=place.prefix, client=place.client, look_wait=ZERO)
    runs: dict[int, list[int]] = {n: [] for n in range(LETTERS)}
    mended = False

    @app.task("task", retry=RetryPolicy(stop=stop_after_attempt(5), wait=wait_none()))
    def task(context: Context, n: int) -> None:
        runs[n].append(context.attempt)
        if not mended or len(runs[n]) < 3:
            raise ValueError("not yet")

    def work() -> None:
        Worker(app, WorkerSettings(burst=True, wait=ZERO)).run()

    for n in range(LETTERS):
        copy = Message(id=str(n), task="task", queue=queue, payload={"n": n}, attempt_base=4, generation=4)
        driver.send([Outgoing(id=copy.id, queue=queue, body=wire.encode(copy))])
    with app.using(driver):
        work()
        assert (LETTERS, 0) == place.counts(f"{queue}-dlq")
        done = cli("dlq", "redrive", queue, "--all", "--by-service", "--yes", "--json", "--backend", place.url)
        assert 0 == done.code, done.err
        assert {"queue": queue, "moved": LETTERS, "state": "completed", "reason": None} == json.loads(done.out)
        assert ((LETTERS, 0), (0, 0)) == (place.counts(queue), place.counts(f"{queue}-dlq"))
        mended = True
        work()
    assert ((0, 0), (0, 0)) == (place.counts(queue), place.counts(f"{queue}-dlq"))
    # The service documents what it moved as a new message. LocalStack counts on, and its task has received it once.
    assert all(seen in ([5, 1, 2], [5, 2, 3]) for seen in runs.values()), runs


def test_what_the_service_refuses(place: Place, queue: str) -> None:
    """A second move while one runs, and a dead-letter queue that no redrive policy names, each in words of ours."""
    driver = SQSDriver(REGION, prefix=place.prefix, client=place.client, look_wait=ZERO)
    driver.send([Outgoing(id=str(n), queue=f"{queue}-dlq", body=b"{}") for n in range(10)])
    names = ["QueueArn"]
    source, destination = (
        place.client.get_queue_attributes(QueueUrl=place.url_of(name), AttributeNames=names)["Attributes"]["QueueArn"]
        for name in (f"{queue}-dlq", queue)
    )
    slow = place.client.start_message_move_task(
        SourceArn=source, DestinationArn=destination, MaxNumberOfMessagesPerSecond=1
    )
    with pytest.raises(BackendError, match="already moves"):
        driver.start_move(queue)
    driver.cancel_move(queue, f"0:{slow['TaskHandle']}")
    for name in ("bare", "bare-dlq"):
        place.client.create_queue(QueueName=place.prefix + name)
    with pytest.raises(ConfigurationError, match="no queue's redrive policy names it"):
        driver.start_move("bare")
