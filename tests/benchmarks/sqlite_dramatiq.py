"""Dramatiq's side of the SQLite benchmark, with dramatiq-sqlite: its default middleware, eight threads."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import dramatiq
from dramatiq_sqlite import SQLiteBroker

from tests.benchmarks.sqs_place import PAYLOAD, Countdown, in_threads, main, timed, timed_until

logging.disable(logging.WARNING)
broker = SQLiteBroker(url=f"sqlite://{Path(os.environ['BENCH_FOLDER'], 'dramatiq.db')}")
dramatiq.set_broker(broker)
countdown = Countdown(0)


@dramatiq.actor(actor_name="noop")
def noop(text: str) -> None:
    """Does nothing with about 200 bytes."""
    countdown.ran()


def send(count: int) -> None:
    """One after the other."""
    timed(count, lambda: [noop.send(**PAYLOAD) for _ in range(count)])


def threads(count: int) -> None:
    """Sixteen threads."""
    timed(count, lambda: in_threads(count, lambda: noop.send(**PAYLOAD)))


def work(count: int) -> None:
    """A worker in this process, until all ran."""
    countdown.count = count
    worker = dramatiq.Worker(broker, worker_threads=8)
    timed_until(countdown, worker.start, worker.stop)


if __name__ == "__main__":
    main({"send": send, "threads": threads, "work": work})
