"""`Edge`: an app as a Lambda function has it, opened at the first invocation and kept for the next ones."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cloudq.app import App
from cloudq.config import parse_url
from cloudq.context import Context
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.outcome import Outcome
from cloudq.core.policy import DELIVERIES_WITHOUT_LIMIT
from cloudq.core.processor import Processor
from cloudq.drivers.sqs.event_source import Arrival, Origin, lease_of
from cloudq.errors import ConfigurationError
from cloudq.worker.events import Tally
from cloudq.worker.executors import EventLoop
from cloudq.worker.leases import HeldLease
from cloudq.worker.time_limits import ThreadTimeLimits

if TYPE_CHECKING:
    from cloudq.aws_lambda.batch import Running
    from cloudq.core.clock import Clock
    from cloudq.drivers.sqs import SQSDriver

_NOBODY_WAITS: Final = timedelta(0)


class Edge:
    """What invocations share. Makes no client of SQS: that waits for something that needs one.

    Args:
        app: The app; its modules are imported and its tasks checked.

    Raises:
        ConfigurationError: Its backend isn't SQS, or a module can't be imported.
        TaskDefinitionError: A type can't travel as JSON.
    """

    def __init__(self, app: App) -> None:
        url = parse_url(app.url)
        if url.scheme != "sqs":
            raise ConfigurationError(
                f"a Lambda function works on queues of Amazon SQS, and the app's backend is {url.scheme}://",
                hint="set CLOUDQ_URL to sqs://REGION, e.g. sqs://eu-west-1?prefix=prod-",
            )
        app.load()
        self.app = app
        self.origin = Origin(
            region=url.host or None, prefix=url.parameters.get("prefix", ""), account=url.parameters.get("account")
        )
        self.tally = Tally()
        self._processor: Processor[Context] = Processor(
            app.handlers,
            middleware=app.middleware,
            retry_policy=app.retry_policy,
            clock=app.clock,
            time_limiter=ThreadTimeLimits(app.clock),
            # What an invocation has no time for counts as handed over, and so do the followers in a FIFO group
            # whenever their head fails (semantics 16). What kills the function is stopped all the same.
            least_deliveries=DELIVERIES_WITHOUT_LIMIT,
        )
        self._lock = threading.Lock()
        self._loop: EventLoop | None = None

    @property
    def clock(self) -> Clock:
        """Where the time comes from."""
        return self.app.clock

    @property
    def driver(self) -> SQSDriver:
        """The driver; opened, and its client made, at the first use."""
        from cloudq.drivers.sqs import SQSDriver

        driver = self.app.driver()
        if not isinstance(driver, SQSDriver):
            raise ConfigurationError(
                f"the app was lent a {type(driver).__name__}, and the function's messages are on Amazon SQS",
                hint="lend it an SQSDriver, or test the tasks themselves with cloudq.testing",
            )
        return driver

    def located(self, arrivals: Sequence[Arrival]) -> list[Lease]:
        """The leases of records of one queue, with what settles them. Makes no call."""
        url = self.driver.locate(arrivals[0].delivery.queue, arrivals[0].account)
        return [lease_of(arrival, url) for arrival in arrivals]

    def time_limit(self, delivery: Delivery) -> timedelta | None:
        """The time limit of the delivery's task; of one that can't run, as it takes no time, none at all."""
        handler = self._processor.handler_for(delivery)
        return timedelta(0) if handler is None else handler.time_limit

    def process(self, running: HeldLease) -> Outcome:
        """Runs a sync task in this thread."""
        try:
            return self._processor.process(running.delivery, lease_lost=running.lost, until=running.until)
        except BaseException as error:  # noqa: BLE001 - a signal's KeyboardInterrupt reaches the main thread only: this is the task's own
            return self._processor.failed(running.delivery, error)

    def run_on_loop(self, running: Running) -> bool:
        """Starts an async task on the event loop, which tells it the outcome. `False`: the task isn't async."""
        if not self._is_async(running.delivery):
            return False
        with self._lock:
            if self._loop is None:
                self._loop = EventLoop(self._processor, _ended)
            self._loop.run(running)
        return True

    def left_behind(self, stuck: Sequence[HeldLease]) -> None:
        """These didn't stop. If one is async it blocks the loop: the next ones get another."""
        if not any(self._is_async(running.delivery) for running in stuck):
            return
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.stop(_NOBODY_WAITS)

    def _is_async(self, delivery: Delivery) -> bool:
        handler = self._processor.handler_for(delivery)
        return handler is not None and handler.is_async


def _ended(held: HeldLease, outcome: Outcome, seconds: float) -> None:
    held.ended(outcome, seconds)  # type: ignore[attr-defined]  # only what `run_on_loop` was given comes back
