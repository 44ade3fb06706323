"""A queue of one's own on LocalStack, by name, and the URL of the backend."""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from cloudq.core.message import dead_letter_queue
from cloudq.drivers.sqs import SQSDriver

REGION = "us-east-1"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a test's messages are.

    Attributes:
        url: The backend's, with a prefix of the test's own.
        prefix: That prefix.
        client: A botocore client of LocalStack, nobody else's.
    """

    url: str
    prefix: str
    client: Any

    def url_of(self, queue: str) -> str:
        """The queue's URL on SQS."""
        return str(self.client.get_queue_url(QueueName=self.prefix + queue)["QueueUrl"])

    def counts(self, queue: str) -> tuple[int, int]:
        """How many messages are visible, and how many are leased: what two looks agree on, while they can.

        LocalStack counts the visible ones, then the leased ones, without a lock: what comes from a lease, or goes into
        one, at that moment is in neither number (2026.3.0, `services/sqs/models.py`).
        """
        seen = self._look(queue)
        for _ in range(10):
            again = self._look(queue)
            if again == seen:
                break
            seen = again
        return seen

    def _look(self, queue: str) -> tuple[int, int]:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.client.get_queue_attributes(QueueUrl=self.url_of(queue), AttributeNames=names)["Attributes"]
        return int(answer[names[0]]), int(answer[names[1]])


class Calls:
    """Counts what a client calls."""

    def __init__(self, client: Any) -> None:
        self._lock = threading.Lock()
        self._counter: Counter[str] = Counter()
        client.meta.events.register("before-call.sqs", self._called)

    def _called(self, model: Any, **_: object) -> None:
        with self._lock:
            self._counter[model.name] += 1

    def taken(self) -> Counter[str]:
        """What was called since the last time."""
        with self._lock:
            counter, self._counter = self._counter, Counter()
        return counter


@pytest.fixture
def place(localstack: str) -> Iterator[Place]:
    """A prefix of its own; the queues that come to be under it are deleted."""
    prefix = f"it-{uuid.uuid4().hex[:8]}-"
    driver = SQSDriver(REGION, endpoint_url=localstack)
    url = f"sqs://{REGION}?prefix={prefix}&endpoint_url={quote(localstack, safe='')}"
    yield Place(url=url, prefix=prefix, client=driver.client)
    for found in driver.client.list_queues(QueueNamePrefix=prefix).get("QueueUrls", ()):
        driver.client.delete_queue(QueueUrl=found)
    driver.close()


@pytest.fixture
def queue(place: Place) -> str:
    """The queue `default` and its dead-letter queue, made."""
    driver = SQSDriver(REGION, prefix=place.prefix, client=place.client)
    assert driver.make_queue("default")
    attributes = place.client.get_queue_attributes(QueueUrl=place.url_of("default"), AttributeNames=["RedrivePolicy"])
    policy = json.loads(attributes["Attributes"]["RedrivePolicy"])
    assert policy["deadLetterTargetArn"].endswith(":" + place.prefix + dead_letter_queue("default"))
    return "default"


@pytest.fixture
def shop(tmp_path: Path, place: Place, queue: str) -> Path:
    """A folder with an app of two tasks on that queue."""
    (tmp_path / "app.py").write_text(
        f"""
from pathlib import Path
import cloudq
from tenacity import stop_after_attempt

app = cloudq.App({place.url!r})

@app.task("done")
def done(name: str) -> None:
    (Path(__file__).parent / name).touch()

@app.task("broken", retry=cloudq.RetryPolicy(stop=stop_after_attempt(1)))
def broken(n: int) -> None:
    raise ValueError(f"no such order: {{n}}")
"""
    )
    return tmp_path
