"""`@job`: gives a function a `delay` that enqueues it. As RQ has it, `from cloudq.compat.rq.decorators import job`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from cloudq.compat.rq.connection import Connection, Seconds
from cloudq.compat.rq.job import Job
from cloudq.compat.rq.job_headers import headers_of
from cloudq.compat.rq.queue import Queue
from cloudq.compat.rq.retrying import Retry
from cloudq.compat.rq.words import DECORATOR, DELAY
from cloudq.errors import ConfigurationError

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class JobFunction(Protocol[P, R_co]):
    """A function under `@job`: itself, and what enqueues it."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Calls it, here."""
        ...

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Stores a job that makes a worker call it."""
        ...

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """As `delay`."""
        ...


class job:  # noqa: N801 - RQ's word
    """Declares a function to be a job, and gives it `delay(...)` and `enqueue(...)`, which store one.

    It stays the function that it is. Its time limit and how long its result is kept are declared here, in place of the
    connection's.

    Args:
        queue: Where its jobs go: a name, or a `Queue`.
        connection: One that names the function's module; that of the queue by itself.
        timeout: After how long a run is ended, in seconds; -1: never.
        result_ttl: For how long it is kept what it returned, in seconds; 0: not at all.
        ttl: After how long, in seconds, a job isn't begun any more.
        meta: A JSON object for each job.
        description: A text for each job.
        retry: How often a job runs again that raised.
        **refused: What else RQ's takes is refused by its name.

    Raises:
        ConfigurationError: There is no connection, or it doesn't name the function's module.
        OptionError: An option isn't valid, or can't be honoured.
        TaskDefinitionError: The function can't be a task, or was declared before, with other options.
    """

    def __init__(
        self,
        queue: Queue | str,
        connection: Connection | None = None,
        timeout: Seconds | None = None,
        result_ttl: Seconds | None = None,
        ttl: Seconds | None = None,
        *,
        meta: dict[str, Any] | None = None,
        description: str | None = None,
        retry: Retry | None = None,
        **refused: Any,
    ) -> None:
        if refused.get("queue_class") is Queue:
            del refused["queue_class"]
        DECORATOR.refuse(refused, "@job")
        self._queue = queue if isinstance(queue, Queue) else Queue(queue, connection=connection)
        if connection is not None and connection is not self._queue.connection:
            raise ConfigurationError("the queue is of another connection", hint="leave the connection out")
        self._timeout = timeout
        self._result_ttl = result_ttl
        self._options: dict[str, Any] = {"ttl": ttl, "meta": meta, "description": description, "retry": retry}
        headers_of(self._options)  # what is wrong with them is said here, and not at the first delay

    def __call__(self, function: Callable[P, R_co]) -> JobFunction[P, R_co]:
        """The function, which can be enqueued."""
        queue, options = self._queue, self._options
        queue.connection.declare(function, queue.name, timeout=self._timeout, result_ttl=self._result_ttl)

        def delay(*args: Any, **kwargs: Any) -> Job:
            own = {name: value for name, value in kwargs.items() if name not in DELAY.refused}
            DELAY.refuse({name: value for name, value in kwargs.items() if name not in own}, "a job")
            return queue.enqueue_call(function, args, own, **options)

        enqueued: Any = function
        enqueued.delay = enqueued.enqueue = delay
        return cast("JobFunction[P, R_co]", function)
