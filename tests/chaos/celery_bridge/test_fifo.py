"""A FIFO queue of real Celery's on SQS: each group's order is kept, also around a bridge that is killed."""

from __future__ import annotations

import base64
import json
import signal
from pathlib import Path

import pytest

from tests.chaos.celery_bridge.test_celery_bridge import Shop, opened
from tests.integration.processes import wait_until
from tests.integration.sqs.conftest import REGION, Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180, func_only=True)]

QUEUE = "orders.fifo"
# In the order of their numbers. The third message of `b` fits no task; of the two with one name SQS keeps the first.
SENT = """
from celery_shop import ordered

def send(n, **properties):
    return ordered.apply_async((n,), queue="orders.fifo", **properties).id

for n in range(4):
    send(n, MessageGroupId="a")
    send(100 + n if n != 2 else "seven", MessageGroupId="b")
    send(200 + n)
send(4, MessageGroupId="a", MessageDeduplicationId="same")
send(5, MessageGroupId="a", MessageDeduplicationId="same")
"""


def by_key(shop: Shop) -> dict[str | None, list[object]]:
    """What cloudq's backend has, in its order."""
    found: dict[str | None, list[object]] = {}
    for message in shop.messages():
        found.setdefault(message.ordering_key, []).append(message.payload["n"])
    return found


def test_the_order_of_a_group_is_kept(tmp_path: Path, place: Place, localstack: str) -> None:
    """Nothing overtakes what stays in its group: that is said, and bridged in order once it is gone."""
    attributes = {"FifoQueue": "true", "VisibilityTimeout": "30"}
    url = place.client.create_queue(QueueName=place.prefix + QUEUE, Attributes=attributes)["QueueUrl"]
    shop = opened(
        tmp_path,
        place.url,
        "",
        SHOP_BROKER="sqs://",
        SHOP_OPTIONS=json.dumps({"region": REGION, "predefined_queues": {QUEUE: {"url": url}}}),
        AWS_ENDPOINT_URL=localstack,
    )
    shop.python("-c", SENT)
    process = shop.bridge("--queue", QUEUE, "--json", DIE_AFTER="2", BRIDGE_LEASE="2")
    process.communicate(timeout=120)
    assert -signal.SIGKILL == process.returncode
    wait_until(lambda: place.counts(QUEUE)[1] == 0, within=60, what="the lease of the killed one is over")

    summary, stays = _bridged(shop)
    assert {"a": [0, 1, 2, 3, 4], "b": [100, 101], "default": [200, 201, 202, 203]} == by_key(shop)
    assert (["arguments"], 1, 1) == (stays, summary["stay"], summary["held_back"])

    # Somebody deletes what stays.
    answer = place.client.receive_message(QueueUrl=url, MaxNumberOfMessages=1, WaitTimeSeconds=5)
    [first] = answer["Messages"]
    assert b"seven" in base64.b64decode(json.loads(base64.b64decode(first["Body"]))["body"])
    place.client.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    summary, stays = _bridged(shop)
    assert ([], 1, 0) == (stays, summary["bridged"], summary["held_back"])
    assert [100, 101, 103] == by_key(shop)["b"]


def _bridged(shop: Shop) -> tuple[dict[str, int], list[str]]:
    process = shop.bridge("--queue", QUEUE, "--json", "--idle", "1")
    out, error = process.communicate(timeout=120)
    assert process.returncode in {0, 1}, error
    *stays, last = map(json.loads, out.splitlines())
    return last["summary"], [one["stays"]["why"] for one in stays]
