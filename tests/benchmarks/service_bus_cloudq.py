"""cloudq's side of the Service Bus benchmark: `send_many`, and a worker as it is by default."""

from __future__ import annotations

import cloudq
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.benchmarks.service_bus_place import PAYLOAD, QUEUE, Timer, main

app = cloudq.App("servicebus://", default_queue=QUEUE)
timer = Timer()


@app.task("noop")
def noop(text: str) -> None:
    """Does nothing with about 200 bytes."""
    timer.start()


def send(count: int) -> None:
    """`send_many`, in batches of a hundred."""
    app.send_many([noop.call(**PAYLOAD)])  # opens the link
    timer.start()
    app.send_many(noop.call(**PAYLOAD) for _ in range(count - 1))
    timer.report(count - 1)


def single(count: int) -> None:
    """`send`, one after the other."""
    noop.send(**PAYLOAD)  # opens the link
    timer.start()
    for _ in range(count - 1):
        noop.send(**PAYLOAD)
    timer.report(count - 1)


def work(count: int) -> None:
    """Received, run, and completed: it ends when the last settlement is confirmed."""
    worker = Worker(app, WorkerSettings(max_tasks=count))
    worker.run()
    timer.report(count)


if __name__ == "__main__":
    main({"send": send, "single": single, "work": work})
