"""Django's tasks on SQS, with django-tasks-sqs.

Recommended: its worker's defaults with ten threads, one message a receive, a heartbeat for each task. Fastest: one
thread, ten messages a receive, no heartbeat.
"""

from __future__ import annotations

import threading

import django
from django.conf import settings

from tests.benchmarks.sqs_place import (
    ENDPOINT,
    FASTEST,
    PAYLOAD,
    QUEUE,
    QUEUE_URL,
    REGION,
    Countdown,
    main,
    timed,
    timed_until,
)

if not settings.configured:  # this module is imported once more, below
    settings.configure(
        INSTALLED_APPS=["django_tasks_sqs"],
        USE_TZ=True,
        TASKS={
            "default": {
                "BACKEND": "django_tasks_sqs.SQSBackend",
                "QUEUES": [QUEUE],
                "OPTIONS": {"region_name": REGION, "endpoint_url": ENDPOINT, "queue_urls": {QUEUE: QUEUE_URL}},
            }
        },
    )
django.setup()

from django.tasks import task, task_backends  # noqa: E402  # its settings come first
from django_tasks_sqs import Worker  # noqa: E402
from django_tasks_sqs.worker import WorkerOptions  # noqa: E402

countdown = Countdown(0)
backend = task_backends["default"]


@task(queue_name=QUEUE)
def noop(text: str) -> None:
    """Does nothing with about 200 bytes."""
    countdown.ran()


def send(count: int) -> None:
    """One after the other."""
    backend.client  # noqa: B018  # makes it
    timed(count, lambda: [noop.enqueue(**PAYLOAD) for _ in range(count)])


def send_many(count: int) -> None:
    """All in one call of the back end's own, ten a call of SQS."""
    backend.client  # noqa: B018
    timed(count, lambda: backend.enqueue_many((noop, [], PAYLOAD) for _ in range(count)))


def work(count: int) -> None:
    """A worker in this process, until all ran and their messages are deleted."""
    countdown.count = count
    options = WorkerOptions(max_messages=10, heartbeat=False) if FASTEST else WorkerOptions()
    worker = Worker(concurrency=1 if FASTEST else 10, options=options)
    backend.client  # noqa: B018
    running = threading.Thread(target=worker.run)

    def stop() -> None:
        worker.stop()
        running.join()

    timed_until(countdown, running.start, stop)


if __name__ == "__main__":
    # A task is found by the path of its module.
    from tests.benchmarks import sqs_django

    main({"send": sqs_django.send, "send_many": sqs_django.send_many, "work": sqs_django.work})
