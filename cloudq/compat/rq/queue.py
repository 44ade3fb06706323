"""`Queue`: enqueues functions, with RQ's options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from cloudq.compat.rq.connection import Connection, Seconds, life_of_results, span
from cloudq.compat.rq.job import Job, Known
from cloudq.compat.rq.job_headers import headers_of
from cloudq.compat.rq.retrying import POLICY
from cloudq.compat.rq.words import ENQUEUE, QUEUE
from cloudq.errors import ConfigurationError, OptionError
from cloudq.queues.names import check_queue
from cloudq.tasks.options import SendOptions
from cloudq.tasks.task import Call, definition_of


class Queue:
    """A queue, as in RQ.

    Args:
        name: Letters, digits, `-` and `_`; `.fifo` at its end for one in order.
        connection: Whose jobs; in the place of the connection to Redis.
        default_timeout: As the connection's `job_timeout`; another one is refused.
        **refused: What else RQ's has is refused by its name.

    Raises:
        ConfigurationError: `connection` isn't one of `cloudq.compat.rq`, or something can't be honoured.
        OptionError: It is no name for a queue, or `default_timeout` isn't the connection's.
    """

    def __init__(
        self,
        name: str = "default",
        connection: Connection | None = None,
        default_timeout: Seconds | None = None,
        **refused: object,
    ) -> None:
        if not isinstance(connection, Connection):
            raise ConfigurationError(
                "the connection of a queue is one of cloudq.compat.rq",
                hint='Queue("important", connection=Connection("pages"))',
            )
        for option, value in refused.items():
            if option == "is_async" and value is True:
                continue
            hint = QUEUE.changes.get(option) or QUEUE.refused.get(option, "leave it out")
            raise ConfigurationError(f"{option} of a queue can't be honoured", hint=hint)
        self.name = check_queue(name)
        self.connection = connection
        _same_timeout("default_timeout", default_timeout, connection.time_limit_of(""))
        connection.has_queue(self.name)

    def __repr__(self) -> str:
        """The name."""
        return f"Queue({self.name!r})"

    def __len__(self) -> int:
        """As `count`."""
        return self.count

    def __bool__(self) -> bool:
        """Whether there is one; how many wait in it is no matter."""
        return True

    if not TYPE_CHECKING:  # else every attribute would have a type

        def __getattr__(self, name):
            """Raises an AttributeError that says what there is in the place of RQ's other attributes."""
            raise QUEUE.absent("a Queue", name, "connection.queue(name) is cloudq's own handle of it")

    @property
    def count(self) -> int:
        """How many jobs are ready, as the backend counts them."""
        return self.connection.queue(self.name).stats().ready or 0

    def is_empty(self) -> bool:
        """Whether none is ready."""
        return self.count == 0

    def empty(self) -> None:
        """Deletes all that wait in it, and unlike RQ those whose time hasn't come yet (`enqueue_in`, `enqueue_at`)."""
        self.connection.queue(self.name).purge()

    def fetch_job(self, job_id: str) -> Job | None:
        """The job of that id, or `None` if nothing is noted of it.

        Raises:
            UnsupportedError: The connection keeps no results, or has no store.
        """
        job = Job(self.connection, job_id)
        return None if job.look().status == "unknown" else job

    def enqueue(self, f: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> Job:
        """Stores a job that makes a worker call `f(*args, **kwargs)`; RQ's options are taken out of `kwargs`.

        Where `args` or `kwargs` is among them, these two are the function's arguments, as in RQ. Of the options
        `job_timeout` and `result_ttl` may only repeat what holds for the function; `ttl`, `description`, `retry` and
        `meta` are the job's own; the others are refused.

        Raises:
            ConfigurationError: The function is of no module that the connection names.
            OptionError: An option can't be honoured, or isn't valid.
            PayloadError: The arguments don't fit the function's parameters, or can't travel as JSON.
            BackendError: It may not be stored.
        """
        return self._send(self._call(f, args, kwargs, {}))

    def enqueue_in(self, time_delta: timedelta, func: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> Job:
        """As `enqueue`, not before that long from now. No scheduler is needed."""
        return self._send(self._call(func, args, kwargs, {"delay": time_delta}))

    def enqueue_at(self, datetime: datetime, f: Callable[..., Any] | str, /, *args: Any, **kwargs: Any) -> Job:
        """As `enqueue`, not before that moment, which needs a UTC offset. No scheduler is needed."""
        return self._send(self._call(f, args, kwargs, {"at": datetime}))

    def enqueue_call(
        self,
        func: Callable[..., Any] | str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        timeout: Seconds | None = None,
        **options: Any,
    ) -> Job:
        """As `enqueue`, with the function's arguments in `args` and `kwargs`."""
        return self._send(self.prepare_data(func, args, kwargs, timeout, **options))

    def prepare_data(
        self,
        func: Callable[..., Any] | str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        timeout: Seconds | None = None,
        **options: Any,
    ) -> Call:
        """A call for `enqueue_many`. In RQ it is a static method: here, one of the queue."""
        given = {"args": tuple(args or ()), "kwargs": dict(kwargs or {}), "job_timeout": timeout, **options}
        return self._call(func, (), given, {})

    def enqueue_many(self, job_datas: Iterable[Call], **refused: Any) -> list[Job]:
        """Stores many jobs in this queue with few calls of the backend, whichever queue prepared them.

        Raises:
            OptionError: `pipeline` or `group_id` was given.
            SendManyError: Some weren't stored: it says which.
        """
        for option, value in refused.items():
            if value is not None:
                raise OptionError(f"{option} of enqueue_many can't be honoured", hint="leave it out")
        here: SendOptions = {"queue": self.name}
        calls = [call.with_options(here) if isinstance(call, Call) else call for call in job_datas]
        stored = self.connection.send_many(calls)
        return [Job(self.connection, sent, _known(call)) for call, sent in zip(calls, stored, strict=True)]

    def _send(self, call: Call) -> Job:
        return Job(self.connection, self.connection.send(call), _known(call))

    def _call(
        self, function: Callable[..., Any] | str, args: tuple[Any, ...], kwargs: Mapping[str, Any], send: SendOptions
    ) -> Call:
        names = ENQUEUE.names
        own = {name: value for name, value in kwargs.items() if name not in names}
        asked = {name: value for name, value in kwargs.items() if name in names}
        ENQUEUE.refuse(asked, "a job")
        if "args" in own or "kwargs" in own:
            if args:
                raise OptionError("arguments are given twice: in args and beside it", hint="give them in one of them")
            args, own = tuple(own.pop("args", None) or ()), dict(own.pop("kwargs", None) or {}, **own)
        task = self.connection.job_task(function)
        _same_timeout("job_timeout", asked.get("job_timeout"), task.time_limit)
        definition, ttl = definition_of(task), asked.get("result_ttl")
        if ttl is not None and life_of_results(ttl) != definition.run_options.keep_result:
            raise OptionError("result_ttl of one job can't be honoured", hint=f"Connection(..., result_ttl={ttl!r})")
        if asked.get("retry") is not None and definition.own_retry is not POLICY:
            raise OptionError(
                f"retry of one job can't be honoured: task {task.name!r} has a policy of its own", hint="leave it out"
            )
        options: SendOptions = {**send, "queue": self.name}
        if asked.get("ttl") is not None:
            options["expires"] = span("ttl", asked["ttl"])
        headers = headers_of(asked)
        if headers:
            options["headers"] = headers
        return task.options(**options).call(*args, **own)


def _known(call: Call) -> Known:
    options = call.options
    return Known(task=call.task.name, queue=options["queue"], payload=call.payload, headers=options.get("headers", {}))


def _same_timeout(name: str, given: Seconds | None, limit: timedelta | None) -> None:
    """Refuses a time limit that isn't the function's: each run of it has the one that it is declared with."""
    if given is None or (limit is None and given == -1) or (given != -1 and span(name, given) == limit):
        return
    raise OptionError(
        f"{name}={given!r} can't be honoured: a time limit belongs to a function",
        hint=f'Connection(..., job_timeout={given!r}), or job_timeouts={{"pages.crawl": {given!r}}}',
    )
