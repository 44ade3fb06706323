"""Dramatiq's side of the SQS benchmark, with dramatiq-sqs.

Recommended: its default middleware and eight threads. Fastest: no middleware, and two threads.
"""

from __future__ import annotations

import logging

import dramatiq
from dramatiq_sqs import SQSBroker

from tests.benchmarks.sqs_place import FASTEST, PAYLOAD, QUEUE, REGION, Countdown, main, timed, timed_until

logging.disable(logging.WARNING)
broker = SQSBroker(region_name=REGION, middleware=[] if FASTEST else None)
dramatiq.set_broker(broker)
countdown = Countdown(0)
THREADS = 2 if FASTEST else 8
OPTIONS = {} if FASTEST else {"max_retries": 3}


@dramatiq.actor(actor_name="noop", queue_name=QUEUE, **OPTIONS)
def noop(text: str) -> None:
    """Does nothing with about 200 bytes."""
    countdown.ran()


def send(count: int) -> None:
    """One by one: it has no other way."""
    broker._ensure_queue(QUEUE)
    timed(count, lambda: [noop.send(**PAYLOAD) for _ in range(count)])


def work(count: int) -> None:
    """A worker in this process, until all ran and their messages are deleted."""
    countdown.count = count
    broker._ensure_queue(QUEUE)
    worker = dramatiq.Worker(broker, worker_threads=THREADS, worker_timeout=1000)
    timed_until(countdown, worker.start, worker.stop)


if __name__ == "__main__":
    main({"send": send, "work": work})
