"""Celery's side of the SQS benchmark.

Recommended: acks_late with predefined queues, long polls, ten threads, JSON. Fastest: no results, no events, one thread
that prefetches a hundred.
"""

from __future__ import annotations

import os
import threading
import time
import warnings

from celery import Celery

from tests.benchmarks.measure import Stopwatch
from tests.benchmarks.sqs_place import FASTEST, PAYLOAD, QUEUE, QUEUE_URL, REGION, Countdown, main, timed

warnings.simplefilter("ignore")  # its advice on users is not for a benchmark
app = Celery("bench", broker="sqs://")
app.conf.update(
    broker_transport_options={
        "region": REGION,
        "predefined_queues": {QUEUE: {"url": QUEUE_URL}},
        "wait_time_seconds": 20,
        "visibility_timeout": 120,
    },
    broker_connection_retry_on_startup=True,
    task_default_queue=QUEUE,
    task_acks_late=True,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
    worker_redirect_stdouts=False,
    task_ignore_result=FASTEST,
    worker_prefetch_multiplier=100 if FASTEST else 4,
)
countdown = Countdown(0)


@app.task(name="noop")
def noop(text: str) -> None:
    """Does nothing with about 200 bytes."""
    countdown.ran()


def send(count: int) -> None:
    """One by one: it has no other way."""
    with app.producer_pool.acquire(block=True) as producer:
        timed(count, lambda: [noop.apply_async(kwargs=PAYLOAD, producer=producer) for _ in range(count)])


def work(count: int) -> None:
    """A worker in this process, until all ran and their messages are deleted."""
    countdown.count = count
    pool = "solo" if FASTEST else "threads"
    worker = app.Worker(pool=pool, concurrency=1 if FASTEST else 10, loglevel="ERROR", without_gossip=True,
                        without_mingle=True, without_heartbeat=True)  # fmt: skip
    watch = Stopwatch()

    def end() -> None:
        countdown.wait()
        watch.over()
        time.sleep(1)  # it acknowledges on its way; there is no event to wait for
        watch.report(count)
        os._exit(0)  # a warm shutdown waits for a poll

    threading.Thread(target=end, daemon=True).start()
    worker.start()


if __name__ == "__main__":
    main({"send": send, "work": work})
