"""`AppLimits`: the limits of an app's tasks and queues, in one process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cloudq.core.delivery import Delivery
from cloudq.core.message import Message, is_ordered
from cloudq.core.notes import Notes
from cloudq.errors import ConfigurationError, UnsupportedError
from cloudq.flow.limit import Limit
from cloudq.flow.means import TABLE, Edge, Means
from cloudq.flow.pace import HORIZON, Pace
from cloudq.flow.rates import Rate
from cloudq.flow.turns import LocalTurns, StoredTurns
from cloudq.tasks.definition import Definition
from cloudq.tasks.flow_options import UNLIMITED, key_of

if TYPE_CHECKING:
    from cloudq.app import App

# Limits of single keys that are remembered here. One that is forgotten has lost no more than its unused turns.
_MOST_KEYS: Final = 10_000


class AppLimits:
    """The limits that each delivery is subject to. Not thread-safe, but for `of`.

    Args:
        app: Whose tasks, settings and store.
        horizon: How far away a turn may be that is waited for with a delivery in hand.
    """

    def __init__(self, app: App, *, horizon: timedelta = HORIZON) -> None:
        self._app = app
        self._handlers = app.runtime.handlers  # follows later declarations
        self._horizon = horizon
        self._limits: dict[str, Limit] = {}

    def of(self, delivery: Delivery) -> tuple[Limit, ...]:
        """Those of a delivery: its task's, then its queue's. Asks nobody."""
        limits = list(self._of_queue(delivery.queue))
        message = delivery.message
        definition = None if message is None else self._handlers.get(message.task)
        if message is None or definition is None or definition.flow is UNLIMITED:
            return tuple(limits)
        key = None
        if (rate := definition.flow.rate) is not None:
            key = None if rate.key is None else key_of(rate.key, message, definition.parameters)
            limits.insert(0, self._pace(f"task {definition.name}", rate, key))
        return tuple(limits)

    def concern(self, message: Message) -> bool:
        """Whether a message has any. Asks nobody."""
        definition = self._handlers.get(message.task)
        return (definition is not None and definition.flow is not UNLIMITED) or message.queue in self._app.queue_rates

    def of_queue(self, queue: str, tasks: Iterable[Definition]) -> tuple[Limit, ...]:
        """Those of each delivery of a queue: its own, and those of its task if it has but one."""
        limits = list(self._of_queue(queue))
        own = {task.name: task for task in tasks if queue in task.queues}
        if len(own) == 1:
            [task] = own.values()
            if task.flow.rate is not None and task.flow.rate.key is None:
                limits.append(self._pace(f"task {task.name}", task.flow.rate, None))
        return tuple(limits)

    def close(self) -> None:
        """Gives back what others can use. May block."""
        for limit in list(self._limits.values()):
            limit.close()

    def _of_queue(self, queue: str) -> Sequence[Limit]:
        rate = self._app.queue_rates.get(queue)
        return () if rate is None else (self._pace(f"queue {queue}", rate, None),)

    def _pace(self, name: str, rate: Rate, key: str | None) -> Limit:
        whole = name if key is None else f"{name} key {key}"
        known = self._limits.get(whole)
        if known is None:
            turns = LocalTurns(rate, self._app.clock) if rate.per_worker else StoredTurns(self._notes, whole, rate)
            known = self._add(whole, Pace(name, rate, turns, horizon=self._horizon))
        return known

    def _add(self, whole: str, limit: Limit) -> Limit:
        if len(self._limits) >= _MOST_KEYS:
            self._limits.pop(next(iter(self._limits)))
        # Of two threads that make one at once, both use the first one's.
        return self._limits.setdefault(whole, limit)

    def _notes(self) -> Notes:
        store = self._app.runtime.store
        if store is None:
            raise ConfigurationError("the app has no store of its limits any more")
        return store.notes


def limits_of(app: App, queues: Iterable[str], *, horizon: timedelta = HORIZON) -> AppLimits | None:
    """The app's limits; `None` if nothing that comes from these queues has any."""
    served = set(queues)
    limited = any(queue in app.queue_rates for queue in served) or any(
        definition.flow is not UNLIMITED for definition in app.runtime.handlers.values()
    )
    return AppLimits(app, horizon=horizon) if limited else None


def refuse_limits(app: App, edge: Edge) -> None:
    """Refuses limits that an edge can't keep. See `cloudq.flow.means`.

    Raises:
        UnsupportedError: Naming the first such one, and what to do instead.
    """
    for said, means in _declared(app):
        cell = TABLE[edge][means]
        if cell.refused:
            raise UnsupportedError(f"{said} has a {means.value}, which {edge.value} can't keep", hint=cell.hint)
    if edge is Edge.LAMBDA:
        for definition in app.runtime.handlers.values():
            if definition.flow is not UNLIMITED and any(is_ordered(queue) for queue in definition.queues):
                raise UnsupportedError(
                    f"task {definition.name!r} has a limit and a FIFO queue, whose messages Lambda can't put off",
                    hint="serve the queue by a worker, or set the maximum concurrency of the event source mapping",
                )


def _declared(app: App) -> Iterator[tuple[str, Means]]:
    for definition in {one.name: one for one in app.runtime.handlers.values()}.values():
        if (rate := definition.flow.rate) is not None:
            said = f"task {definition.name!r}"
            yield said, Means.KEY_RATE if rate.key is not None else Means.TASK_RATE
            if rate.per_worker:
                yield said, Means.WORKER_RATE
    for queue in app.queue_rates:
        yield f"queue {queue!r}", Means.QUEUE_RATE


def shared_limits(app: App) -> list[str]:
    """What has a limit that workers share through the store: `task 'mail'`, `queue 'mail'`."""
    tasks = {definition.name: definition for definition in app.runtime.handlers.values()}
    shared = [f"task {name!r}" for name, definition in tasks.items() if definition.flow.shared]
    return shared + [f"queue {queue!r}" for queue, rate in app.queue_rates.items() if not rate.per_worker]
