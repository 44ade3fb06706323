"""cloudq's side of the SQS benchmark. It has no faster settings than its own."""

from __future__ import annotations

import logging

import cloudq
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.benchmarks.sqs_place import ACCOUNT, PAYLOAD, QUEUE, REGION, in_threads, main, timed

logging.getLogger("cloudq").setLevel(logging.ERROR)  # that it has no TLS is meant
app = cloudq.App(f"sqs://{REGION}?account={ACCOUNT}", default_queue=QUEUE)


@app.task("noop")
def noop(text: str) -> None:
    """Does nothing with about 200 bytes."""


def send_many(count: int) -> None:
    """`send_many`, as it is recommended for many."""
    app.driver()
    timed(count, lambda: app.send_many(noop.call(**PAYLOAD) for _ in range(count)))


def send(count: int) -> None:
    """One after the other."""
    app.driver()
    timed(count, lambda: [noop.send(**PAYLOAD) for _ in range(count)])


def threads(count: int) -> None:
    """Sixteen threads that send one by one, as web threads do."""
    app.driver()
    timed(count, lambda: in_threads(count, lambda: noop.send(**PAYLOAD)))


def work(count: int) -> None:
    """A worker as it is by default."""
    app.driver()  # as the loop beside it, which has its client when it begins
    worker = Worker(app, WorkerSettings(max_tasks=count))
    timed(count, worker.run)


if __name__ == "__main__":
    main({"send_many": send_many, "send": send, "threads": threads, "work": work})
