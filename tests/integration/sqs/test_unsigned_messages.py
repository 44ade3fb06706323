"""On SQS, where signatures are required, none of a thousand messages that are unsigned or altered runs."""

from __future__ import annotations

from datetime import timedelta

from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.integration.forgeries import all_of_them, app_that_requires, assert_that_none_ran, put, reasons
from tests.integration.sqs.conftest import Place


def test_a_worker_on_sqs(place: Place, queue: str) -> None:
    """By the real client; each is in the dead-letter queue, with its reason."""
    ran: list[int] = []
    app = app_that_requires(ran)
    app.configure(place.url)
    bodies = all_of_them()
    put(app.driver(), bodies, queue)
    Worker(app, WorkerSettings(max_tasks=len(bodies), grace=timedelta(seconds=5))).run()
    assert_that_none_ran(ran, reasons(app.driver(), queue))
    app.close()
