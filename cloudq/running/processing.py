"""`processor_of`: the `Processor` of an app, as every edge makes it; and the queues that an edge may serve."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from cloudq.core.handler import Handler
from cloudq.core.processor import Processor, TimeLimiter
from cloudq.errors import ConfigurationError
from cloudq.tasks.context import Context
from cloudq.tasks.task_queues import listed

if TYPE_CHECKING:
    from cloudq.app import App


def processor_of(
    app: App,
    time_limiter: TimeLimiter,
    *,
    least_deliveries: int = 0,
    handlers: Mapping[str, Handler[Context]] | None = None,
) -> Processor[Context]:
    """Turns deliveries into outcomes by the app's tasks and settings.

    Raises:
        ConfigurationError: The app's settings of signatures can't be used.

    Args:
        app: Whose tasks.
        time_limiter: How a sync task is stopped at its time limit.
        least_deliveries: The backstop against messages that kill their worker is no lower than this: for edges that
            hand back much of what they were handed (semantics 16).
        handlers: What stands in for the app's tasks, by their names: for tools that watch their runs.
    """
    return Processor(
        app.runtime.handlers if handlers is None else handlers,
        middleware=app.middleware,
        retry_policy=app.retry_policy,
        unknown_task_patience=app.unknown_task_patience,
        signatures=app.runtime.signing.check(app.runtime.handlers),
        strict_queues=app.strict_queues is True,
        longest_delay=app.longest_delay,
        redact=app.redact,
        clock=app.clock,
        time_limiter=time_limiter,
        least_deliveries=least_deliveries,
    )


def refuse_strangers(app: App, queues: Iterable[str]) -> None:
    """Refuses to serve a queue that no task names, where all that is in it would be dead-lettered.

    Raises:
        ConfigurationError: The app has `strict_queues=True`, and no task names one of them.
    """
    if app.strict_queues is not True:
        return
    declared = app.runtime.declared_queues()
    for queue in queues:
        if queue not in declared:
            raise ConfigurationError(
                f"no task names queue {queue!r}, so that strict_queues=True would dead-letter all that is in it",
                hint=f"the tasks name {listed(declared)}" if declared else "declare a task with that queue",
            )
