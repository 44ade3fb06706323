"""`executor_for`: what runs a worker's tasks, by its settings: threads and an event loop, or child processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from cloudq.core.capabilities import Capabilities
from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.processor import Processor
from cloudq.worker.executors import EndedInSeries, Executor, ThreadExecutor
from cloudq.worker.intake import Intake
from cloudq.worker.settings import WorkerSettings
from cloudq.worker.settler import Settler

if TYPE_CHECKING:
    from cloudq.app import App
    from cloudq.telemetry.prometheus import Metrics


def executor_for(
    app: App,
    settings: WorkerSettings,
    intake: Intake,
    processor: Processor[Any],
    settler: Settler,
    *,
    queues: Mapping[str, Capabilities],
    began: Callable[[Delivery], None],
    ended: EndedInSeries,
    cannot_start: Callable[[], None],
    metrics: Metrics | None,
    clock: Clock,
) -> Executor:
    """Makes it; nothing is started.

    Args:
        app: Whose tasks.
        settings: Whether there are child processes, and how many tasks run at once.
        intake: Where the work comes from.
        processor: Turns deliveries into outcomes.
        settler: Settles what a thread has kept.
        queues: The worker's queues, and what they can do.
        began: Told of each delivery whose work begins.
        ended: Told each outcome.
        cannot_start: Called once if no child process starts at all.
        metrics: Given what child processes have counted; `None`: they count nothing.
        clock: Where the time comes from.

    Raises:
        ConfigurationError: What child processes send or claim would be seen by nobody else.
    """
    if not settings.processes:
        return ThreadExecutor(
            intake,
            processor,
            settler,
            threads=settings.concurrency,
            queues=len(queues),
            ended=ended,
            clock=clock,
            began=began,
            hooks=app.hooks,
        )
    from cloudq.worker.children import ChildExecutor

    return ChildExecutor.of(
        app,
        settings,
        intake,
        processor,
        queues=queues.values(),
        ended=ended,
        cannot_start=cannot_start,
        began=began,
        reported=None if metrics is None else metrics.add,
    )
