"""What cloudq itself costs, without a service: tasks encoded into memory, then decoded and run by a worker."""

from __future__ import annotations

import cloudq
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.benchmarks.sqs_place import PAYLOAD, main, timed

app = cloudq.App("memory://")


@app.task("noop")
def noop(text: str) -> None:
    """Does nothing with about 200 bytes."""


def send_many(count: int) -> None:
    """Encoded, and kept in memory."""
    app.driver()
    timed(count, lambda: app.send_many(noop.call(**PAYLOAD) for _ in range(count)))


def work(count: int) -> None:
    """Encoded, kept, decoded and run."""
    app.driver()

    def run() -> None:
        app.send_many(noop.call(**PAYLOAD) for _ in range(count))
        Worker(app, WorkerSettings(max_tasks=count)).run()

    timed(count, run)


if __name__ == "__main__":
    main({"send_many": send_many, "work": work})
