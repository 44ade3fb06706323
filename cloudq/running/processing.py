"""`processor_of`: the `Processor` of an app, as every edge makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudq.core.processor import Processor, TimeLimiter
from cloudq.tasks.context import Context

if TYPE_CHECKING:
    from cloudq.app import App


def processor_of(app: App, time_limiter: TimeLimiter, *, least_deliveries: int = 0) -> Processor[Context]:
    """Turns deliveries into outcomes by the app's tasks, middleware, retry policy, patience and `redact`.

    Args:
        app: Whose tasks.
        time_limiter: How a sync task is stopped at its time limit.
        least_deliveries: The backstop against messages that kill their worker is no lower than this: for edges that
            hand back much of what they were handed (semantics 16).
    """
    return Processor(
        app.runtime.handlers,
        middleware=app.middleware,
        retry_policy=app.retry_policy,
        unknown_task_patience=app.unknown_task_patience,
        redact=app.redact,
        clock=app.clock,
        time_limiter=time_limiter,
        least_deliveries=least_deliveries,
    )
