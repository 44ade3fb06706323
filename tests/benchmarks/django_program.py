"""A side of the benchmark of Django's back ends: one project, one task, and what BENCH_BACKEND says that keeps it.

One thread each, and an interval of 0 between looks for work. With SQLite both have a write-ahead log, and
BENCH_SYNCHRONOUS; what is in force is asked of the database and printed. django-tasks-db keeps results always.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import django
from django.conf import settings

from tests.benchmarks.measure import Stopwatch
from tests.benchmarks.sqs_place import (
    ACCOUNT,
    ENDPOINT,
    PAYLOAD,
    QUEUE,
    QUEUE_URL,
    REGION,
    Countdown,
    main,
    timed_until,
)

MODULE: Final = "tests.benchmarks.django_program"
BACKEND: Final = os.environ.get("BENCH_BACKEND", "cloudq")
RESULTS: Final = os.environ.get("BENCH_RESULTS") == "on"
SYNCHRONOUS: Final = os.environ.get("BENCH_SYNCHRONOUS", "full")
FOLDER: Final = Path(os.environ.get("BENCH_FOLDER", "."))
QUEUES: Final = FOLDER / "queues.db"
DATABASE: Final = FOLDER / "django.db"


def _backend() -> dict[str, Any]:
    if BACKEND == "django-tasks-db":
        return {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": [QUEUE]}
    if BACKEND == "django-tasks-sqs":
        options: dict[str, Any] = {
            "region_name": REGION,
            "endpoint_url": ENDPOINT,
            "queue_urls": {QUEUE: QUEUE_URL},
        }
        return {"BACKEND": "django_tasks_sqs.SQSBackend", "QUEUES": [QUEUE], "OPTIONS": options}
    sqlite = f"sqlite:///{QUEUES}?synchronous={SYNCHRONOUS}"
    url = f"sqs://{REGION}?account={ACCOUNT}" if ENDPOINT else sqlite
    options = {"url": url, "modules": [MODULE], "results": timedelta(days=1) if RESULTS else False}
    if RESULTS and ENDPOINT:
        options["store"] = sqlite
    return {"BACKEND": "cloudq.integrations.django.CloudqBackend", "QUEUES": [QUEUE], "OPTIONS": options}


if not settings.configured:  # this module is imported once more, below
    settings.configure(
        INSTALLED_APPS=["django_tasks_db"] if BACKEND == "django-tasks-db" else [],
        USE_TZ=True,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": DATABASE,
                "OPTIONS": {
                    "init_command": f"PRAGMA journal_mode=wal; PRAGMA synchronous={SYNCHRONOUS}",
                    "transaction_mode": "IMMEDIATE",
                },
            }
        },
        TASKS={"default": _backend()},
    )
django.setup()

from django.tasks import task, task_backends  # noqa: E402  # its settings come first

for name in ("cloudq", "django.tasks", "django_tasks", "django_tasks_db", "django_tasks_sqs"):
    logging.getLogger(name).setLevel(logging.ERROR)  # what is compared isn't how they log
countdown = Countdown(0)
backend: Any = task_backends["default"]


@task(queue_name=QUEUE)
def noop(text: str) -> None:
    """Does nothing with about 200 bytes."""
    countdown.ran()


def prepared() -> None:
    """Opens what the first send or look would open, and makes Django's tables."""
    if BACKEND == "cloudq":
        backend.app.driver()
    elif BACKEND == "django-tasks-sqs":
        backend.client  # noqa: B018  # makes it
    elif not DATABASE.exists():
        from django.core.management import call_command

        call_command("migrate", verbosity=0)


def durability() -> dict[str, float]:
    """SQLite's numbers: whether there is a write-ahead log, and 2 for synchronous=full, 1 for normal."""
    if ENDPOINT:
        return {}
    if BACKEND == "django-tasks-db":
        from django.db import connection

        with connection.cursor() as cursor:
            mode = cursor.execute("PRAGMA journal_mode").fetchone()[0]
            return {"wal": float(mode == "wal"), "synchronous": cursor.execute("PRAGMA synchronous").fetchone()[0]}
    connection = sqlite3.connect(QUEUES)
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]  # of the file
    connection.close()
    return {"wal": float(mode == "wal"), "synchronous": {"full": 2.0, "normal": 1.0}[SYNCHRONOUS]}


def send(count: int) -> None:
    """One after the other."""
    prepared()
    watch = Stopwatch()
    for _ in range(count):
        noop.enqueue(**PAYLOAD)
    watch.report(count, **durability())


def send_many(count: int) -> None:
    """All in one call of the back end's own, where it has one."""
    prepared()
    watch = Stopwatch()
    backend.enqueue_many((noop, [], PAYLOAD) for _ in range(count))
    watch.report(count, **durability())


def work(count: int) -> None:
    """A worker in this process with one thread, until all ran."""
    prepared()
    {"cloudq": work_ours, "django-tasks-db": work_db, "django-tasks-sqs": work_sqs}[BACKEND](count)


def work_ours(count: int) -> None:
    """`cloudq worker`, its defaults but for one thread."""
    from cloudq.worker.service import Worker
    from cloudq.worker.settings import WorkerSettings

    worker = Worker(backend.app, WorkerSettings(queues={QUEUE: 1}, max_tasks=count, concurrency=1))
    watch = Stopwatch()
    worker.run()
    watch.report(count, **durability())


def work_db(count: int) -> None:
    """`manage.py db_worker`."""
    from django_tasks_db.management.commands.db_worker import Worker

    worker = Worker(
        queue_names=[QUEUE],
        interval=0,
        batch=True,
        backend_name="default",
        startup_delay=False,
        max_tasks=count,
        worker_id="bench",
        excluded_queue_names=[],
    )
    watch = Stopwatch()
    worker.run()
    watch.report(count, **durability())


def work_sqs(count: int) -> None:
    """`manage.py sqs_worker` with one thread and its fastest settings: ten messages a receive, no heartbeat."""
    import threading

    from django_tasks_sqs import Worker
    from django_tasks_sqs.worker import WorkerOptions

    countdown.count = count
    worker = Worker(concurrency=1, options=WorkerOptions(max_messages=10, heartbeat=False))
    running = threading.Thread(target=worker.run)

    def stop() -> None:
        worker.stop()
        running.join()

    timed_until(countdown, running.start, stop)


if __name__ == "__main__":
    # A task is found by the path of its module.
    from tests.benchmarks import django_program

    main({"send": django_program.send, "send_many": django_program.send_many, "work": django_program.work})
