"""`AppLimits`: the limits of an app's tasks and queues, in one process."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from cloudq.core.delivery import Delivery
from cloudq.core.message import Message, is_ordered
from cloudq.core.notes import Notes
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import ConfigurationError, UnsupportedError
from cloudq.flow.breakers import Breaker, Circuit
from cloudq.flow.limit import Limit
from cloudq.flow.means import TABLE, Edge, Means
from cloudq.flow.pace import HORIZON, Pace
from cloudq.flow.rates import Rate
from cloudq.flow.seats import LINGER, AtOnce, LocalRegister, Register, Seats, StoredRegister
from cloudq.flow.turns import LocalTurns, StoredTurns
from cloudq.tasks.definition import Definition
from cloudq.tasks.flow_options import UNLIMITED, key_of
from cloudq.tasks.keys import Key

if TYPE_CHECKING:
    from cloudq.app import App

logger = SafeLogger("cloudq.worker")

# From this many limits on, which keys make, those are forgotten that another one can take the place of.
_MANY: Final = 10_000


class AppLimits:
    """The limits that each delivery is subject to. Not thread-safe, but for `of`.

    Args:
        app: Whose tasks, settings and store.
        horizon: How far away a turn may be that is waited for with a delivery in hand.
        linger: How long a seat is kept that isn't used.
    """

    def __init__(self, app: App, *, horizon: timedelta = HORIZON, linger: timedelta = LINGER) -> None:
        self._app = app
        self._handlers = app.runtime.handlers  # follows later declarations
        self._horizon = horizon
        self._linger = linger
        self._lock = threading.Lock()
        # Changed with the lock taken only. All that there are are known: two of one name would let in twice as many.
        self._known: WeakValueDictionary[str, Limit] = WeakValueDictionary()
        self._kept: dict[str, Limit] = {}
        self._forget_at = _MANY

    def of(self, delivery: Delivery) -> tuple[Limit, ...]:
        """Those of a delivery: its task's, then its queue's. Asks nobody."""
        limits = list(self._of_queue(delivery.queue))
        message = delivery.message
        definition = None if message is None else self._handlers.get(message.task)
        if message is None or definition is None or definition.flow is UNLIMITED:
            return tuple(limits)
        return (*self._of_task(definition, message), *limits)

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
            limits += self._of_task(task, None)
        return tuple(limits)

    def close(self, until: timedelta) -> None:
        """Gives back what others can use, one after the other; what isn't lapses in a minute. May block; never raises.

        It ends at the first that fails: each of the others would take as long to do so.

        Args:
            until: From then on it begins no other one. `Clock.elapsed`'s.
        """
        for limit in list(self._kept.values()):
            if self._app.clock.elapsed() >= until:
                return
            try:
                limit.close()
            except Exception as error:  # noqa: BLE001 - a store's package may raise anything, and the worker has to end
                logger.debug("the limit of %s can't be given back, and lapses: %s", limit.name, error)
                return

    def _of_queue(self, queue: str) -> Sequence[Limit]:
        rate = self._app.queue_rates.get(queue)
        return () if rate is None else (self._pace(f"queue {queue}", rate, None),)

    def _of_task(self, definition: Definition, message: Message | None) -> list[Limit]:
        """A message's by its task; without a message those that all of the task's have."""
        name, flow = f"task {definition.name}", definition.flow
        limits: list[Limit] = []
        # What is used up by a start alone comes last: less of it is undone.
        if flow.breaker is not None:
            limits.append(self._circuit(name, flow.breaker))
        if (at_once := flow.at_once) is not None and (at_once.key is None or message is not None):
            limits.append(self._seats(name, at_once, _key(at_once.key, message, definition)))
        if (rate := flow.rate) is not None and (rate.key is None or message is not None):
            limits.append(self._pace(name, rate, _key(rate.key, message, definition)))
        return limits

    def _circuit(self, name: str, breaker: Breaker) -> Limit:
        known = self._known.get(f"breaker {name}")
        return known or self._add(f"breaker {name}", Circuit(name, breaker, horizon=self._horizon))

    def _seats(self, name: str, at_once: AtOnce, key: str | None) -> Limit:
        whole = f"{name}" if key is None else f"{name} key {key}"
        known = self._known.get(f"at once {whole}")
        if known is None:
            register: Register = (
                LocalRegister(at_once.most) if at_once.per_worker else StoredRegister(self._notes, whole, at_once.most)
            )
            seats = Seats(name, at_once.most, register, clock=self._app.clock, linger=self._linger)
            known = self._add(f"at once {whole}", seats)
        return known

    def _pace(self, name: str, rate: Rate, key: str | None) -> Limit:
        whole = name if key is None else f"{name} key {key}"
        known = self._known.get(whole)
        if known is None:
            turns = LocalTurns(rate, self._app.clock) if rate.per_worker else StoredTurns(self._notes, whole, rate)
            known = self._add(whole, Pace(name, rate, turns, horizon=self._horizon))
        return known

    def _add(self, whole: str, limit: Limit) -> Limit:
        with self._lock:
            if (known := self._known.get(whole)) is not None:
                return known  # of two threads that make one at once, both use the first one's
            if len(self._kept) >= self._forget_at:
                self._forget()
            self._known[whole] = self._kept[whole] = limit
            return limit

    def _forget(self) -> None:
        """Forgets what has nothing to remember, unless somebody has it in hand: memory is bounded whatever keys say."""
        now = self._app.clock.elapsed()
        self._kept = {name: limit for name, limit in self._kept.items() if not limit.is_as_new(now)}
        self._kept = dict(self._known.items())  # those, and what is in hand: the others are gone
        self._forget_at = max(_MANY, 2 * len(self._kept))  # else each new one would look through all

    def _notes(self) -> Notes:
        store = self._app.runtime.store
        if store is None:
            raise ConfigurationError("the app has no store of its limits any more")
        return store.notes


def _key(key: Key | None, message: Message | None, definition: Definition) -> str | None:
    return None if key is None or message is None else key_of(key, message, definition.parameters)


def limits_of(
    app: App, queues: Iterable[str], *, horizon: timedelta = HORIZON, linger: timedelta = LINGER
) -> AppLimits | None:
    """The app's limits; `None` if nothing that comes from these queues has any.

    A rate of a queue that is neither served here nor any task's is logged: its name may be misspelt.
    """
    served = set(queues)
    known = served.union(*(definition.queues for definition in app.runtime.handlers.values()))
    if strangers := [repr(queue) for queue in app.queue_rates if queue not in known]:
        logger.warning("queue_rates: no task has a queue %s: its rate limits nothing", " or ".join(strangers))
    limited = any(queue in app.queue_rates for queue in served) or any(
        definition.flow is not UNLIMITED for definition in app.runtime.handlers.values()
    )
    return AppLimits(app, horizon=horizon, linger=linger) if limited else None


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
        said = f"task {definition.name!r}"
        if (rate := definition.flow.rate) is not None:
            yield said, Means.KEY_RATE if rate.key is not None else Means.TASK_RATE
            if rate.per_worker:
                yield said, Means.WORKER_RATE
        if (at_once := definition.flow.at_once) is not None:
            yield said, Means.KEY_AT_ONCE if at_once.key is not None else Means.TASK_AT_ONCE
            if at_once.per_worker:
                yield said, Means.WORKER_AT_ONCE
        if definition.flow.breaker is not None:
            yield said, Means.BREAKER
    for queue in app.queue_rates:
        yield f"queue {queue!r}", Means.QUEUE_RATE


def shared_limits(app: App) -> list[str]:
    """What has a limit that workers share through the store: `task 'mail'`, `queue 'mail'`."""
    tasks = {definition.name: definition for definition in app.runtime.handlers.values()}
    shared = [f"task {name!r}" for name, definition in tasks.items() if definition.flow.shared]
    return shared + [f"queue {queue!r}" for queue, rate in app.queue_rates.items() if not rate.per_worker]
