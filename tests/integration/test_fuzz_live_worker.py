"""Guarantee 5: whatever bytes are in a queue, a worker ends with each of them and goes on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tenacity import stop_after_attempt

import cloudq
from cloudq.core import wire
from cloudq.core.driver import Outgoing
from cloudq.core.message import Message
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings

BATCH, BATCHES = 200, 100

SEEDS = [
    wire.encode(Message(id="1", task="take", queue="default", payload={"number": 42, "text": "päyload"})),
    wire.encode(
        Message(
            id="2",
            task="take",
            queue="default",
            payload={"number": -1},
            idempotency_key="k",
            attempt_base=3,
            generation=2,
            headers={"tenant": "a", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
            extensions={"other": "x", "flag": True},
        )
    ),
    b'{"specversion":"1.0","id":"3","source":"/shell","type":"take","data":{"number":7}}',
    b'{"specversion":"1.0","id":"4","source":"/shell","type":"take","data_base64":"eyJudW1iZXIiOiA3fQ=="}',
    b'{"specversion":"1.0","id":"5","source":"/shell","type":"unknown","data":{"number":[[[[{}]]]]}}',
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A seed with a few bytes changed, cut out, doubled or put in, or bytes without any form."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    body = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(body)))
        match draw(st.sampled_from(("change", "cut", "double", "insert"))):
            case "change" if at < len(body):
                body[at] = draw(st.integers(0, 255))
            case "cut":
                del body[at : at + draw(st.integers(1, 40))]
            case "double":
                body[at:at] = body[at : at + draw(st.integers(1, 40))]
            case _:
                body[at:at] = draw(
                    st.sampled_from([b"null", b"{", b"[" * 300, b'"', b"1e999", b"\xff", b"\\ud800", b"-"])
                )
    return bytes(body)


@pytest.mark.slow
@pytest.mark.timeout(300)
@settings(max_examples=BATCHES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(bodies=st.lists(mutated(), min_size=BATCH, max_size=BATCH))
def test_every_mutated_body_ends_acked_or_dead_lettered_with_a_reason(
    bodies: list[bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """20,000 mutated bodies through a live worker: none crashes it, none spins, none is left over."""
    driver = SQLiteDriver(Path(tmp_path_factory.mktemp("fuzz"), "queue.db"), synchronous="normal")
    policy = cloudq.RetryPolicy(stop=stop_after_attempt(1))
    app = cloudq.App("memory://", retry=policy, unknown_task_patience=timedelta(0))
    ran: list[int] = []

    @app.task("take")
    def take(number: int, text: str = "") -> None:
        ran.append(number)

    with app.using(driver):
        results = driver.send([Outgoing(id=str(n), queue="default", body=body) for n, body in enumerate(bodies)])
        assert [None] * len(bodies) == [result.error for result in results]
        worker = Worker(app, WorkerSettings(burst=True, queues={"default": 1}))
        assert 0 == worker.run()
        stats = app.queue("default").stats()
        dead = list(app.queue("default").dead_letters)
        # A mutation may make a valid message of the future: that one waits, unharmed.
        waiting = driver.receive("default", limit=BATCH, wait=timedelta(0), lease=timedelta(seconds=1))
    assert (0, 0, []) == (stats.ready, stats.in_flight, waiting)
    assert len(bodies) == len(ran) + len(dead) + (stats.delayed or 0)
    for letter in dead:
        assert letter.failure is not None
        assert letter.failure.reason
        assert letter.failure.deliveries == 1  # it did not spin
        assert letter.body in bodies
    driver.close()
