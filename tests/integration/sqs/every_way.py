"""`work_every_way`: a worker at SQS that does what a worker may do, for tests of what it asks the service for."""

from __future__ import annotations

import threading
from datetime import timedelta

from cloudq import App, Retry, RetryPolicy
from cloudq.drivers.sqs import SQSDriver
from tests.integration.processes import wait_until
from tests.integration.sqs.conftest import REGION, Place
from tests.unit.worker.fakes import running


def work_every_way(driver: SQSDriver, place: Place, queue: str, *, again_in: timedelta) -> list[str]:
    """Has a worker run tasks that succeed, last longer than a lease, are tried again, and fail for good.

    Returns:
        The names of those that ran.
    """
    app = App()
    ran: list[str] = []
    lasted = threading.Event()

    @app.task("fine")
    def fine() -> None:
        ran.append("fine")

    @app.task("lasting")
    def lasting() -> None:
        lasted.wait(2.5)
        ran.append("lasting")

    @app.task("again")
    def again() -> None:
        ran.append("again")
        raise Retry(delay=again_in)

    @app.task("dies", retry=RetryPolicy(stop=lambda _: True))
    def dies() -> None:
        ran.append("dies")
        raise ValueError("no")

    with app.using(SQSDriver(REGION, prefix=place.prefix, client=place.client)):
        for task in (fine, lasting, again, dies):
            task.send()
    with app.using(driver), running(app, lease=timedelta(seconds=4), wait=timedelta(0)):
        wait_until(lambda: len(ran) == 4 and place.counts(queue) == (0, 0), within=60, what="all ran and are settled")
    return ran
