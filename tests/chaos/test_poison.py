"""A queue with poison in it: the good ones run, and each of the others ends as a dead letter, seen hardly twice."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from datetime import timedelta

import pytest

from cloudq import App, RetryPolicy
from cloudq.drivers.sqs import SQSDriver
from tests.chaos.http_proxy import Forward, HttpProxy, Request, Response
from tests.chaos.scale import sized
from tests.integration.processes import wait_until
from tests.integration.sqs.conftest import Place
from tests.unit.worker.fakes import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(120, 300), func_only=True)]

POISON, GOOD = sized((20, 100), (200, 1_000))
EVENT = {"specversion": "1.0", "id": "1", "source": "/elsewhere", "type": "good", "data": {"n": 1}}
# Each body, and the words of its reason.
BODIES = {
    "no JSON at all": "isn't JSON",
    "[1, 2, 3]": "not a CloudEvents object",
    json.dumps({**EVENT, "specversion": "2.0"}): "specversion is '2.0'",
    json.dumps({**EVENT, "wireversion": 99}): "wireversion 99 is newer",
    json.dumps({**EVENT, "type": "goood"}): "unknown task 'goood'",
    json.dumps({**EVENT, "data": {"n": "many"}}): "payload",
    json.dumps({**EVENT, "data": {"m": 1}}): "payload",
    json.dumps({**EVENT, "data": [1]}): "not an object of arguments",
    json.dumps({**EVENT, "notbefore": "soon"}): "notbefore is 'soon'",
    '{"deep": ' + "[" * 200 + "]" * 200 + "}": "more than 100",
}


class HandedOver:
    """The policy that notes how often each message was handed over."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    async def __call__(self, request: Request, forward: Forward) -> Response | None:
        response = await forward(request)
        if request.action == "ReceiveMessage":
            self.counts.update(one["MessageId"] for one in json.loads(response.body).get("Messages") or ())
        return response


def test_poison_among_good_messages(proxy: HttpProxy, place: Place, queue: str, driver: SQSDriver) -> None:
    """All good ones are done, all poison is dead with its reason, and nothing was handed over again and again."""
    seen = proxy.policy = HandedOver()
    app = App(unknown_task_patience=timedelta(0))
    done: Counter[int] = Counter()
    lock = threading.Lock()

    @app.task("good", retry=RetryPolicy(wait=lambda _: 0))
    def good(n: int) -> None:
        with lock:
            done[n] += 1

    bodies = list(BODIES)
    with app.using(driver):
        for number in range(POISON):
            app.send_many(good.call(n) for n in range(number * GOOD // POISON, (number + 1) * GOOD // POISON))
            place.client.send_message(QueueUrl=place.url_of(queue), MessageBody=bodies[number % len(bodies)])
        began = time.monotonic()
        with running(app) as worker:
            wait_until(
                lambda: place.counts(queue) == (0, 0) and place.counts(f"{queue}-dlq") == (POISON, 0),
                within=60,
                what="all are done or dead",
            )
            took = time.monotonic() - began
            # The worker counts one once it has the answer of its deletion, which the queue has carried out by then.
            wait_until(lambda: worker.worker.snapshot().dead_lettered >= POISON, within=60, what="all are counted")
            assert POISON == worker.worker.snapshot().dead_lettered
        dead = app.queue(queue).dead_letters.peek(limit=POISON)
    most = max(seen.counts.values())
    print(f"\n[poison] {GOOD} good and {POISON} poison in {took:.1f} s; each handed over {most} times at most")
    assert dict.fromkeys(range(GOOD), 1) == done
    assert POISON == len(dead)
    for letter in dead:
        assert BODIES[letter.body.decode()] in letter.failure.reason
    assert Counter(bodies[number % len(bodies)] for number in range(POISON)) == Counter(
        letter.body.decode() for letter in dead
    )
    assert most <= 2
