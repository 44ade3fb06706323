"""Messages as large as their queues take, which fail: each can be put away, whatever `MaximumMessageSize` is."""

from __future__ import annotations

import json
import logging
from collections import Counter
from datetime import timedelta

import pytest
from tenacity import stop_after_attempt, wait_none

from cloudq import App, Context, RetryPolicy
from cloudq.drivers.sqs import SQSDriver
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.integration.sqs.conftest import REGION, Place

pytestmark = pytest.mark.timeout(120, func_only=True)

KIB = 1024
FREE = (0, 1, KIB, 16 * KIB, 20 * KIB)
ATTEMPTS = 2


def make(place: Place, name: str, size: int, *, dead_size: int, receives: int) -> None:
    """A queue and its dead-letter queue, as Terraform makes them."""
    attributes = {"MaximumMessageSize": str(dead_size)}
    dead = place.client.create_queue(QueueName=f"{place.prefix}{name}-dlq", Attributes=attributes)["QueueUrl"]
    answer = place.client.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
    policy = {"deadLetterTargetArn": answer["Attributes"]["QueueArn"], "maxReceiveCount": str(receives)}
    place.client.create_queue(
        QueueName=place.prefix + name,
        Attributes={"MaximumMessageSize": str(size), "RedrivePolicy": json.dumps(policy)},
    )


def event(name: str, size: int) -> bytes:
    """An event of another program, of that many bytes."""
    start = f'{{"specversion":"1.0","id":"{name}","source":"/foreign","type":"fail","data":{{"text":"'.encode()
    end = b'"}}'
    return start + b"x" * (size - len(start) - len(end)) + end


def work(app: App) -> None:
    Worker(app, WorkerSettings(burst=True, wait=timedelta(0))).run()


@pytest.mark.parametrize("size", [64 * KIB, 256 * KIB, 1024 * KIB])
def test_what_fails_is_dead_lettered_at_any_size(place: Place, size: int, caplog) -> None:
    """Each ends in the dead-letter queue, its body unchanged, from 1 KiB below the limit with its reason."""
    make(place, "default", size, dead_size=size, receives=10)
    app = App()
    runs: Counter[str] = Counter()
    received: dict[str, int] = {}
    driver = SQSDriver(REGION, prefix=place.prefix, client=place.client, look_wait=timedelta(0))

    @app.task("fail", retry=RetryPolicy(stop=stop_after_attempt(ATTEMPTS), wait=wait_none()))
    def fail(context: Context, text: str) -> None:
        runs[context.id] += 1
        received[context.id] = context.attempt
        raise ValueError("no such order: " + text[:100])

    sent = {f"free-{free}": event(f"free-{free}", size - free) for free in FREE}
    for body in sent.values():
        place.client.send_message(QueueUrl=place.url_of("default"), MessageBody=body.decode())
    with app.using(driver), caplog.at_level(logging.WARNING, logger="cloudq"):
        work(app)
        dead = {one.id: one for one in app.queue("default").dead_letters}
    assert dict.fromkeys(sent, ATTEMPTS) == dict(runs)
    assert dict.fromkeys(sent, ATTEMPTS) == received
    assert sent == {name: one.body for name, one in dead.items()}
    assert (0, 0) == place.counts("default")
    for free in FREE:
        failure = dead[f"free-{free}"].failure
        assert failure is not None
        assert (free >= KIB) == failure.reason.startswith(f"gave up after {ATTEMPTS} attempts")
        # Whole, or from its middle on.
        assert (free >= 16 * KIB) == (failure.traceback or "").startswith(("Traceback", "…"))
        if free < KIB:
            assert any(f"free-{free} " in said and "gave up after" in said for said in caplog.messages)


def test_a_body_that_its_dead_letter_queue_does_not_take_is_moved_by_the_service(place: Place) -> None:
    """It runs no more after its last attempt here, and the service moves it once it was received often enough."""
    make(place, "default", 256 * KIB, dead_size=64 * KIB, receives=4)
    app = App()
    runs: list[int] = []
    driver = SQSDriver(REGION, prefix=place.prefix, client=place.client, look_wait=timedelta(0))

    @app.task("fail", retry=RetryPolicy(stop=stop_after_attempt(ATTEMPTS), wait=wait_none()))
    def fail(context: Context, text: str) -> None:
        runs.append(context.attempt)
        raise ValueError("no such order")

    body = event("large", 100 * KIB)
    place.client.send_message(QueueUrl=place.url_of("default"), MessageBody=body.decode())
    released = place.client.change_message_visibility_batch

    def at_once(**parameters: object) -> object:
        """Releases for no time at all: what comes back in half a minute isn't the subject."""
        entries = [{**one, "VisibilityTimeout": 0} for one in parameters.pop("Entries")]  # type: ignore[attr-defined]
        return released(**parameters, Entries=entries)

    place.client.change_message_visibility_batch = at_once
    with app.using(driver):
        work(app)
    assert [1, 2] == runs
    assert ((0, 0), (1, 0)) == (place.counts("default"), place.counts("default-dlq"))
