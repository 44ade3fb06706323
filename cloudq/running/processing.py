"""`processor_of`: the `Processor` of an app, as every edge makes it; and what an edge refuses at its start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from cloudq.core.blocking import TimeLimiter
from cloudq.core.claiming import Claims
from cloudq.core.handler import Handler
from cloudq.core.processor import Processor
from cloudq.core.safe_log import SafeLogger
from cloudq.core.store_url import EXAMPLE
from cloudq.core.traced_processor import TracedProcessor
from cloudq.errors import ConfigurationError, StoreUnavailable
from cloudq.queues.store_connection import NATIVE_ONLY, STORE_VARIABLE
from cloudq.running.claims import StoreClaims
from cloudq.running.end_log import Ends
from cloudq.running.heartbeat import Heartbeat
from cloudq.running.limited_runs import PATIENCE, LimitedRuns
from cloudq.running.limits import AppLimits, shared_limits
from cloudq.running.log_fields import carry_run_fields
from cloudq.running.noted_runs import NotedRuns
from cloudq.tasks.context import Context
from cloudq.tasks.task_queues import listed

if TYPE_CHECKING:
    from cloudq.app import App

logger = SafeLogger("cloudq")


def processor_of(
    app: App,
    time_limiter: TimeLimiter,
    *,
    least_deliveries: int = 0,
    handlers: Mapping[str, Handler[Context]] | None = None,
    heartbeat: bool = True,
    freezes: bool = False,
    limited: bool = False,
    told: bool = True,
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
        heartbeat: Whether what runs is renewed in the store meanwhile. Not in tools on a clock of their own.
        freezes: Whether the process stands still between invocations. Then claims of idempotency keys last for what is
            left of an invocation in place of being renewed; notes of runs are renewed all the same.
        limited: Whether runs wait for the limits of their tasks and queues. A worker that polls sees to that before.
        told: Whether the ends of deliveries are logged, and the app's `on_dead` functions called. Not in tools that run
            tasks to see them fail.
    """
    carry_run_fields()
    beats = Heartbeat(app.clock) if heartbeat else None
    claims: Claims = NotedRuns(app, StoreClaims(app, heartbeat=None if freezes else beats), heartbeat=beats)
    if limited:  # what has limits may be declared later
        limits = AppLimits(app, horizon=PATIENCE, linger=timedelta(0))
        claims = LimitedRuns(app, claims, limits, heartbeat=beats)
    return kind_of_processor(app)(
        app.runtime.handlers if handlers is None else handlers,
        middleware=(*app.runtime.edge_middleware, *app.middleware),
        retry_policy=app.retry_policy,
        unknown_task_patience=app.unknown_task_patience,
        patience=app.snooze_patience,
        signatures=app.runtime.signing.check(app.runtime.handlers),
        strict_queues=app.strict_queues is True,
        longest_delay=app.longest_delay,
        redact=app.redact,
        clock=app.clock,
        time_limiter=time_limiter,
        least_deliveries=least_deliveries,
        claims=claims,
        log_end=Ends(app.hooks) if told else None,
    )


def kind_of_processor(app: App) -> Callable[..., Processor[Context]]:
    """What makes an app's processors: of the kind whose runs are spans, where those are made."""
    tracing = app.runtime.tracing
    return Processor if tracing is None else partial(TracedProcessor, tracing=tracing)


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


def check_store(app: App) -> None:
    """Refuses tasks whose keys, runs or limits have no store; opens the store, if there is one.

    One that isn't available at the moment is no reason: what needs it waits.

    Raises:
        ConfigurationError: A task declares an idempotency key, a result to be kept, to be tracked, or a limit that
            workers share, and there is no store; or its URL can't be used.
        BackendError: The store can't be used as it is.
    """
    stores, keyed, noted = app.runtime.stores, app.runtime.keyed_tasks(), app.runtime.noted_tasks()
    shared = shared_limits(app)
    if noted and not stores.in_use:
        tasks = f"task {noted[0]!r} declares" if len(noted) == 1 else f"tasks {listed(noted)} declare"
        raise ConfigurationError(
            f"{tasks} keep_result or track, and there is no store to note that in",
            hint=f"{STORE_VARIABLE}={EXAMPLE} names one",
        )
    if shared and not stores.in_use:
        raise ConfigurationError(
            f"{shared[0]} has a limit that all workers share, and there is no store to share it in",
            hint=f"{STORE_VARIABLE}={EXAMPLE} names one; or per_worker=True",
        )
    if stores.is_native_only:
        return
    if keyed and not stores.in_use:
        tasks = f"task {keyed[0]!r} declares" if len(keyed) == 1 else f"tasks {listed(keyed)} declare"
        raise ConfigurationError(
            f"{tasks} an idempotency key, and there is no store to claim it in",
            hint=f'{STORE_VARIABLE}={EXAMPLE} names one; App(store="{NATIVE_ONLY}"), or '
            f"{STORE_VARIABLE}={NATIVE_ONLY}, leaves keys to the backend's own de-duplication, as before",
        )
    if keyed or noted or shared or stores.chosen is not None:
        try:
            _ = stores.store
        except StoreUnavailable as error:
            logger.warning("what has an idempotency key or a limit, or is to be noted, waits: %s", error)
