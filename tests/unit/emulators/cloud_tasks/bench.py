"""An emulator on a clock that a test moves, its client and a worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from google.cloud import tasks_v2

from cloudq.emulators.cloud_tasks import CloudTasksEmulator, ManualClock, Settings
from tests.unit.emulators.cloud_tasks.worker import Worker

LOCATION = "projects/shop/locations/europe-west1"
QUEUE = f"{LOCATION}/queues/emails"


class Bench:
    """What the tests through the client work with."""

    def __init__(self, emulator: CloudTasksEmulator, clock: ManualClock, worker: Worker) -> None:
        self.emulator = emulator
        self.clock = clock
        self.worker = worker
        self.client = emulator.client()

    def create(self, task_id: str = "", queue: str = QUEUE, **fields: Any) -> tasks_v2.Task:
        """Creates a task that goes to the worker."""
        return self.client.create_task(parent=queue, task=self.task(task_id, queue, **fields))

    def task(self, task_id: str = "", queue: str = QUEUE, **fields: Any) -> dict[str, Any]:
        """A task that goes to the worker; `request` has more of its request."""
        request = {"url": self.worker.url, **fields.pop("request", {})}
        named = {"name": f"{queue}/tasks/{task_id}"} if task_id else {}
        return {"http_request": request, **named, **fields}

    def queue(self, queue_id: str = "emails", **fields: Any) -> tasks_v2.Queue:
        """Creates a queue."""
        return self.client.create_queue(parent=LOCATION, queue={"name": f"{LOCATION}/queues/{queue_id}", **fields})

    def advance(self, **by: float) -> None:
        """Moves the clock, before and after which everything has come to rest."""
        self.emulator.advance(timedelta(**by))

    def settle(self) -> None:
        """Waits for what is due by now."""
        self.emulator.wait_idle()

    def statuses(self) -> list[int | None]:
        """The statuses of all attempts so far."""
        return [attempt.status for attempt in self.emulator.attempts()]


@contextmanager
def bench(settings: Settings | None = None) -> Iterator[Bench]:
    """A bench, with everything ended afterwards."""
    clock = ManualClock()
    worker = Worker()
    try:
        with CloudTasksEmulator(clock=clock, settings=settings) as emulator:
            yield Bench(emulator, clock, worker)
    finally:
        worker.close()
