"""`WorkerSettings`: a worker's settings, checked before it starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol, TypeGuard

import msgspec

from cloudq.core.spans import shown
from cloudq.errors import ConfigurationError

if TYPE_CHECKING:
    from cloudq.core.driver import Driver, PullDriver

# A lease counted from before a long poll must still be worth something on arrival (semantics 12).
LEASE_PER_WAIT: Final = 2.5
# A poll under way isn't cut where that strands messages (decision 26), and Docker kills after 10 s: an idle worker has
# to be done by then. On SQS a shorter wait costs more calls that bring nothing.
DEFAULT_WAIT: Final = timedelta(seconds=8)
ZERO: Final = timedelta(0)

_EVERY_QUEUE: Final[Mapping[str, int]] = {}


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker does, how much at once, and for how long it waits.

    Attributes:
        queues: The queues with their weights, in the order given; empty for every queue that the tasks declare.
        strict: Whether a queue is served only while those before it are empty. Weights are ignored then.
        concurrency: The most tasks running at once (threads and coroutines together), at least 1.
        processes: How many child processes run the tasks, one at a time each; 0 for threads. Replaces `concurrency`.
        burst: Whether to end once the queues are empty.
        grace: How long running tasks may go on after the first signal to stop.
        max_tasks: After how many tasks to end, at least 1; `None` for no end.
        lease: For how long a delivery is leased at a time; it is renewed while it is in hand.
        wait: How long a poll waits for a message, or `None` for the smaller of 8 s and lease / 2.5.
        prefetch: How many deliveries of a queue may wait for a slot, or `None` to measure it.
        polls: The most polls of a queue under way at once, at least 1. More than one only while one brings less than
            is started, only where more help (`Capabilities.max_receive`), and never of an ordered queue.
        fail_fast: Whether to end, with exit code 3, where a queue can't be received from at the start as it doesn't
            exist or the credentials aren't allowed to: without it the worker waits until it can. What passes by itself
            (the network, throttling) is waited for, and so is a queue that goes missing later.
        settle_timeout: How long a settlement is tried, and its lease renewed, after the handler ended.
        health: Where `/healthz` and `/readyz` are served, `(host, port)`; port 0 takes a free one. `None` for nowhere.
        metrics: Where `/metrics` is served for Prometheus, as `health`.
        app_spec: `module:attribute` of the app, which child processes load. `None` for the default search.
        app_folder: The folder from which they import it; `None` for the current one.
        app_found: How the app was found, as a log tells a person who wonders whether it is the right one.
    """

    queues: Mapping[str, int] = _EVERY_QUEUE
    strict: bool = False
    concurrency: int = 10
    processes: int = 0
    burst: bool = False
    grace: timedelta = timedelta(seconds=30)
    max_tasks: int | None = None
    lease: timedelta = timedelta(seconds=120)
    wait: timedelta | None = None
    prefetch: int | None = None
    polls: int = 8
    fail_fast: bool = False
    settle_timeout: timedelta = timedelta(seconds=30)
    health: tuple[str, int] | None = None
    metrics: tuple[str, int] | None = None
    app_spec: str | None = None
    app_folder: str | None = None
    app_found: str | None = None

    def __post_init__(self) -> None:
        """Refuses what can't work whatever the backend.

        Raises:
            ConfigurationError: A number is out of its range, or the lease is too short for the wait.
        """
        _at_least(1, concurrency=self.concurrency, max_tasks=self.max_tasks, polls=self.polls)
        _at_least(0, processes=self.processes, prefetch=self.prefetch)
        for name, weight in self.queues.items():
            _at_least(1, **{f"the weight of queue {name!r}": weight})
        if self.grace < ZERO:
            raise ConfigurationError(
                f"grace is {shown(self.grace)}: it can't be negative", hint="0 s gives back at once"
            )
        for name in ("lease", "settle_timeout"):
            if getattr(self, name) <= ZERO:
                raise ConfigurationError(
                    f"{name} is {shown(getattr(self, name))}: it must be longer than zero",
                    hint="timedelta(seconds=30), say",
                )
        if self.wait is not None and self.wait < ZERO:
            raise ConfigurationError(
                f"wait is {shown(self.wait)}: it can't be negative", hint="0 s polls without waiting"
            )
        if self.lease < LEASE_PER_WAIT * self.poll_wait:
            raise ConfigurationError(
                f"a lease of {shown(self.lease)} is too short for polls that wait {shown(self.poll_wait)}: "
                "it may be over on arrival",
                hint=f"lease at least {shown(LEASE_PER_WAIT * self.poll_wait)}, or wait less",
            )

    @property
    def poll_wait(self) -> timedelta:
        """How long a poll waits for a message. Nothing in a burst, which only empties the queues."""
        if self.burst:
            return ZERO
        return min(DEFAULT_WAIT, self.lease / LEASE_PER_WAIT) if self.wait is None else self.wait

    @property
    def slots(self) -> int:
        """The most tasks running at once."""
        return self.processes or self.concurrency

    def weights(self, declared: Mapping[str, int]) -> Mapping[str, int]:
        """The queues to serve with their weights: those given, else every declared one with its own.

        Raises:
            ConfigurationError: None is given and none declared.
        """
        if self.queues:
            return self.queues
        if not declared:
            raise ConfigurationError(
                "there is no queue to serve: no task is declared", hint="import the tasks, or name a queue"
            )
        return declared


class HasLease(Protocol):
    """A task, as far as its queue's leases go."""

    @property
    def queues(self) -> Sequence[str]:
        """The queues that it declares."""
        ...

    @property
    def lease(self) -> timedelta | None:
        """How long it wants to be leased at a time."""
        ...


def queue_leases(settings: WorkerSettings, queues: Iterable[str], tasks: Iterable[HasLease]) -> Mapping[str, timedelta]:
    """How long each queue's deliveries are leased: as long as the most demanding of its tasks says.

    A receive can't know which task it will get. A task that says nothing gets the worker's own lease.
    """
    wanted: dict[str, list[timedelta]] = {}
    for task in tasks:
        for queue in task.queues:
            wanted.setdefault(queue, []).append(task.lease or settings.lease)
    return {queue: max(wanted.get(queue, [settings.lease])) for queue in queues}


def pull_driver(driver: Driver, leases: Mapping[str, timedelta]) -> PullDriver:
    """The driver, if a worker can poll these queues of it with these leases.

    Raises:
        ConfigurationError: The backend pushes, or leases less long than asked for.
    """
    if not _is_pull(driver):
        raise ConfigurationError(
            "this backend pushes its messages: there is nothing to poll",
            hint="serve its pushes over HTTP instead of starting a polling worker",
        )
    for queue, lease in leases.items():
        longest = driver.capabilities(queue).max_lease
        if longest is not None and lease > longest:
            raise ConfigurationError(
                f"queue {queue!r} leases a message for at most {shown(longest)}, and a lease of {shown(lease)} "
                "is asked for",
                hint=f"set the lease to {shown(longest)} or less",
            )
    return driver


def _is_pull(driver: Driver) -> TypeGuard[PullDriver]:
    return callable(getattr(driver, "receive", None))


def _at_least(least: int, **values: int | None) -> None:
    for name, value in values.items():
        if value is not None and value < least:
            raise ConfigurationError(f"{name} is {value}: at least {least} is needed", hint=f"{least} or more")
