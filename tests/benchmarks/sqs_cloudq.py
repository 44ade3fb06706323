"""cloudq's side of the SQS benchmark. It has no faster settings than its own."""

from __future__ import annotations

import threading

import cloudq
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.benchmarks.sqs_place import ACCOUNT, PAYLOAD, QUEUE, REGION, main, timed

app = cloudq.App(f"sqs://{REGION}?account={ACCOUNT}", default_queue=QUEUE)
THREADS = 16


@app.task("noop")
def noop(text: str) -> None:
    """Does nothing with about 200 bytes."""


def send(count: int) -> None:
    """`send_many`, as it is recommended for many."""
    app.driver()
    timed(count, lambda: app.send_many(noop.call(**PAYLOAD) for _ in range(count)))


def threads(count: int) -> None:
    """Sixteen threads that send one by one, as web threads do."""
    app.driver()

    def work() -> None:
        workers = [
            threading.Thread(target=lambda: [noop.send(**PAYLOAD) for _ in range(count // THREADS)])
            for _ in range(THREADS)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    timed(count // THREADS * THREADS, work)


def work(count: int) -> None:
    """A worker as it is by default."""
    worker = Worker(app, WorkerSettings(max_tasks=count))
    timed(count, worker.run)


if __name__ == "__main__":
    main({"send": send, "threads": threads, "work": work})
