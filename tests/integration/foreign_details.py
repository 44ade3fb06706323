"""Events and details as strangers write them, put into a queue beside a live worker; what must have become of each."""

from __future__ import annotations

import io
import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from hypothesis import strategies as st
from tenacity import stop_after_attempt

import cloudq
from cloudq.core.driver import Driver, Outgoing, PullDriver
from cloudq.core.failure import Failure
from cloudq.running.logs import TextFormatter
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings

CHUNK = 200
ATTEMPTS = 2
# What isn't due within the fuzz would wait: only times that are over, too far away, or none.
TIMES = ["1999-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "2026-01-01T00:00:00", "soon", 5]
FORGED = "x\n2026-01-01 00:00:00.000 INFO cloudq.worker: forged\x1b]0;t\x07"
COUNTS = st.sampled_from([0, 1, 3, 2**31 - 1, 2**31, 2**63, -1, "7", 1.0, True, None])
TEXTS = st.sampled_from(["a", "", FORGED, "\u202e\u2028", "x" * 3_000, "\N{SNOWMAN}", None, 5])
ATTRIBUTES = {
    "id": TEXTS,
    "source": TEXTS,
    "time": st.sampled_from([*TIMES, None]),
    "notbefore": st.sampled_from(TIMES),
    "idempotencykey": TEXTS,
    "orderingkey": TEXTS,
    "fairnesskey": TEXTS,
    "attemptbase": COUNTS,
    "generation": COUNTS,
    "timelimit": COUNTS,
    "queue": TEXTS,
    "headers": st.sampled_from(['{"a":"b"}', '{"a":1}', "{", FORGED, {"a": "b"}, '{"a":"1","a":"2"}']),
    "traceparent": TEXTS,
    "wireversion": COUNTS,
    "datacontenttype": TEXTS,
    "cloudqsignature": TEXTS,
    "subject": TEXTS,
}
DETAILS = {
    "reason": TEXTS,
    "error_type": st.sampled_from(["cloudq.errors.PayloadUnavailable", FORGED, 5]),
    "traceback": TEXTS,
    "worker": TEXTS,
    "attempts": COUNTS,
    "deliveries": COUNTS,
    "generation": COUNTS,
    "first_at": st.sampled_from(TIMES),
    "last_at": st.sampled_from(TIMES),
    "waiting_since": st.sampled_from(TIMES),
    "unknown_since": st.sampled_from(TIMES),
}
A_LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} [A-Z]+ [\w.]+: [^\x00-\x1f\x7f-\x9f\u2028\u2029\u202e]*|  .*"
)


class Foreign(Failure, frozen=True, kw_only=True):
    """Details in the form that somebody else gave them."""

    text: str = ""

    def encode(self) -> bytes:
        return self.text.encode()


def _some(strategies: dict[str, st.SearchStrategy[object]]) -> st.SearchStrategy[dict[str, object]]:
    names = st.lists(st.sampled_from(sorted(strategies)), max_size=4, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: strategies[name] for name in chosen}))


def _details() -> st.SearchStrategy[str | None]:
    junk = st.sampled_from(["", "{", "null", '{"reason":"a","reason":"b"}', "\u2028"])
    return st.none() | junk | _some(DETAILS).map(lambda given: json.dumps({"reason": "r", **given}))


messages = st.lists(
    st.tuples(_some(ATTRIBUTES), st.sampled_from(["take", "take", "fail", "unknown"]), _details()),
    min_size=CHUNK,
    max_size=CHUNK,
)
"""Attributes that are changed, the task, and the text beside the body."""


def work_off(
    driver: PullDriver,
    given: list[tuple[dict[str, object], str, str | None]],
    queue: str = "default",
    *,
    stores_any_text: bool = True,
) -> None:
    """Stores them, has a worker work, and checks what became of each; the queue is empty then."""
    items = []
    for number, (attributes, task, details) in enumerate(given):
        event = {"specversion": "1.0", "id": str(number), "source": "/s", "type": task, "data": {"n": number}}
        body = json.dumps(event | attributes).encode()
        failure = None if not details else Foreign(reason="r", text=details if stores_any_text else _ascii(details))
        items.append(Outgoing(id=f"o{number}", queue=queue, body=body, failure=failure))
    ran: list[int] = []
    app = cloudq.App(
        default_queue=queue,
        retry=cloudq.RetryPolicy(stop=stop_after_attempt(ATTEMPTS), wait=lambda _: 0),
        unknown_task_patience=timedelta(0),
    )

    @app.task("take")
    def take(n: int) -> None:
        ran.append(n)

    @app.task("fail")
    def fail(n: int) -> None:
        ran.append(n)
        raise ValueError(FORGED)

    with app.using(driver), logged() as log:
        for start in range(0, len(items), 10):
            assert {None} == {result.error for result in driver.send(items[start : start + 10])}
        assert 0 == Worker(app, WorkerSettings(burst=True, grace=timedelta(seconds=60))).run()
        dead = Counter(letter for letter in _dead_bodies(driver, queue))
        driver.dead_letters(queue).purge(None)
    runs = Counter(ran)
    for number, item in enumerate(items):
        assert runs[number] <= ATTEMPTS, item
        # What ran to its end is gone; what failed or can't run is among the dead letters.
        tasks_end = given[number][1] == "take" and runs[number] > 0
        assert tasks_end != (number in dead), (item, runs[number])
    for line in log.getvalue().split("\n"):
        assert not line or A_LINE.fullmatch(line), line


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """What a worker writes to its log meanwhile."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(TextFormatter())
    logging.getLogger().addHandler(handler)
    try:
        yield stream
    finally:
        logging.getLogger().removeHandler(handler)


def _dead_bodies(driver: Driver, queue: str) -> Iterator[int]:
    """The numbers of the dead letters' messages."""
    letters, after = driver.dead_letters(queue), None
    while page := letters.peek(limit=100, after=after):
        for letter in page:
            assert letter.failure is not None
            assert letter.failure.reason
            yield json.loads(letter.body)["data"]["n"]
        after = page[-1].key


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
