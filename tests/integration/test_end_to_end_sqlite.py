"""From a send to its effect over one SQLite file: two apps, two processes, every kind of outcome."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tenacity import stop_after_attempt, wait_none

from cloudq import App, Context, DeadLetter, RetryPolicy
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings

QUEUE = "mail"

PRODUCER = """
import asyncio, sys, cloudq
from datetime import timedelta

app = cloudq.App(sys.argv[1])

@app.task("shop.mail", queue="mail", idempotency_key="mail-{user_id}")
def mail(user_id: int, text: str = "the producer's default") -> None: ...

mail.send(1)
assert mail.send(1).duplicate
app.send("shop.async_mail", {"user_id": 2, "text": "\\u00fc"}, queue="mail", headers={"tenant": "a"})
app.send_many([mail.call(n) for n in range(100, 200)])
asyncio.run(mail.asend(3))
mail.options(delay=timedelta(milliseconds=200)).send(4)
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/q.db"


@pytest.fixture
def app(url: str) -> Iterator[App]:
    app = App(url, retry=RetryPolicy(stop=stop_after_attempt(2), wait=wait_none()))
    yield app
    app.close()


def work(app: App) -> None:
    """Works off everything that is there, with the real worker."""
    assert 0 == Worker(app, WorkerSettings(burst=True)).run()


@pytest.mark.slow
def test_what_one_process_sends_another_works(app, url, tmp_path):
    """Sync and async sends, many, a duplicate, a delay: each effect is there once, with the worker's own defaults."""
    done = []

    @app.task("shop.mail", queue=QUEUE)
    def mail(user_id: int, text: str = "the worker's default") -> None:
        done.append((user_id, text))

    @app.task("shop.async_mail", queue=QUEUE)
    async def async_mail(context: Context, user_id: int, text: str) -> None:
        await asyncio.sleep(0)
        done.append((user_id, f"{text} {context.headers['tenant']}"))

    script = tmp_path / "producer.py"
    script.write_text(PRODUCER)
    subprocess.run([sys.executable, str(script), url], cwd=tmp_path, check=True, timeout=60)
    deadline = datetime.now(UTC) + timedelta(seconds=60)
    while len(done) < 104 and datetime.now(UTC) < deadline:
        work(app)
    default = "the worker's default"
    expected = [(1, default), (2, "ü a"), (3, default), (4, default), *((n, default) for n in range(100, 200))]
    assert expected == sorted(done)
    stats = app.queue(QUEUE).stats()
    assert (0, 0, 0, 0) == (stats.ready, stats.delayed, stats.in_flight, stats.dead)


def test_what_one_app_sends_another_works(app, url):
    """Two Apps on one file share nothing else: the producer knows the task by name alone."""
    done = []

    @app.task("shop.mail")
    def mail(user_id: int) -> None:
        done.append(user_id)

    producer = App(url)
    producer.send("shop.mail", {"user_id": 7})
    producer.close()
    work(app)
    assert [7] == done


def test_a_failure_ends_as_a_dead_letter_and_a_redrive_brings_it_back(app):
    """Attempts are counted in the file; the reason is beside the message; after the fix it succeeds from attempt 1."""
    attempts = []
    fixed = False

    @app.task("shop.pay")
    def pay(context: Context, amount: int) -> None:
        attempts.append(context.attempt)
        if not fixed:
            raise ConnectionError("the bank is closed")

    pay.send(5)
    work(app)
    [dead] = app.queue("default").dead_letters
    assert [1, 2] == attempts
    assert "gave up after 2 attempts: ConnectionError: the bank is closed" == dead.failure.reason
    assert (2, "ConnectionError") == (dead.failure.attempts, dead.failure.error_type)
    fixed = True
    assert 1 == app.queue("default").dead_letters.redrive().redriven
    work(app)
    assert [1, 2, 1] == attempts
    assert 0 == app.queue("default").stats().dead


def test_what_cannot_be_worked_is_kept_with_its_reason(app, url):
    """An unknown task, a payload that doesn't bind, a handler's own verdict."""

    @app.task("shop.pay")
    def pay(amount: int) -> None:
        raise DeadLetter("no such account")

    app.unknown_task_patience = timedelta(0)
    producer = App(url)
    producer.send("shop.payy", {"amount": 1})
    producer.send("shop.pay", {"amount": "much"})
    producer.close()
    pay.send(1)
    work(app)
    reasons = sorted(dead.failure.reason for dead in app.queue("default").dead_letters)
    assert [
        "no such account",
        "payload: shop.pay: amount: Expected `int`, got `str`",
        "unknown task 'shop.payy': did you mean 'shop.pay'?",
    ] == reasons


def test_an_ordering_key_keeps_its_order(app):
    """In the order of sending, whatever the concurrency."""
    done = []

    @app.task("shop.step", queue="steps.fifo", ordering_key="{order}")
    def step(order: int, n: int) -> None:
        done.append((order, n))

    results = app.send_many([step.call(order, n) for n in range(10) for order in range(3)])
    assert 30 == len(results)
    work(app)
    for order in range(3):
        assert list(range(10)) == [n for of, n in done if of == order]
