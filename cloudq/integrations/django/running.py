"""One of Django's tasks as one of ours: declared by its own name, run with Django's context, signals and results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msgspec.structs import replace

from cloudq.core.details import worker_name
from cloudq.core.failure import Failure
from cloudq.core.outcome import Decided
from cloudq.core.policy import DeadLetter, Retry
from cloudq.integrations.django.contract import (
    TaskContext,
    has_own_receivers,
    normalize_json,
    task_finished,
    task_started,
)
from cloudq.integrations.django.noted_attempt import NotedAttempt
from cloudq.integrations.django.options import BackendOptions
from cloudq.integrations.django.results import (
    READY,
    RUNNING,
    SUCCESSFUL,
    Kept,
    KeptError,
    KeptResults,
    check_kept,
    workers,
)
from cloudq.integrations.django.values import as_enqueued, now, task_result
from cloudq.tasks.async_libraries import in_a_thread
from cloudq.tasks.context import Context
from cloudq.tasks.definition import Definition
from cloudq.tasks.home import TaskHome
from cloudq.tasks.priorities import Priorities
from cloudq.tasks.unrun import has_yet_to_run, is_async


class Place(Protocol):
    """A back end, as far as its tasks need to know it."""

    alias: str
    options: BackendOptions
    names: tuple[str, ...]
    results: KeptResults | None
    sender: type

    @property
    def home(self) -> TaskHome:
        """The app that keeps its messages."""
        ...


class _Served(Priorities, frozen=True, kw_only=True):
    """The queues of a back end by themselves, with how often a worker takes of each."""

    by_queue: Mapping[str, int]

    def weights(self) -> dict[str, int]:
        return dict(self.by_queue)


class DjangoDefinition(Definition):
    """One of Django's tasks, as its module has it, in the app of a back end.

    Args:
        place: The back end.
        task: The task.
        queue_name: One of Django's queue names, in place of the task's own.

    Raises:
        TaskDefinitionError: What the back end's options say of the task means nothing.
        OptionError: A queue can't have that name.
    """

    def __init__(self, place: Place, task: Any, queue_name: str | None = None) -> None:
        self.place_of = place
        self.django_task = task
        run = _async_run(self) if is_async(task.func) else _run(self)
        # What shows a task shows the function that its author wrote.
        run.__module__, run.__qualname__, run.__doc__ = task.func.__module__, task.func.__qualname__, task.func.__doc__
        own = queue_name or task.queue_name
        queue = place.options.queue(own, task.priority)
        super().__init__(place.home, run, task.module_path, {**place.options.of_task(task.module_path), "queue": queue})
        code = task.func.__code__
        self.place = f"{code.co_filename}:{code.co_firstlineno}"
        weights = place.options.weights(list(dict.fromkeys([own, *place.names])))
        self.own_queues = tuple(dict.fromkeys([queue, *weights]))
        if place.options.levels:
            self.priorities = _Served(queues={name: name for name in weights}, default=queue, by_queue=weights)


def _run(definition: DjangoDefinition) -> Callable[..., Any]:
    def run(context: Context, args: list[Any], kwargs: dict[str, Any]) -> Any:
        attempt = Attempt(definition, context, args, kwargs)
        attempt.begin()
        task_started.send_robust(sender=attempt.sender, task_result=attempt.result)
        try:
            value = definition.django_task.func(*attempt.leading, *args, **kwargs)
            if not has_yet_to_run(value):  # the app refuses it
                attempt.succeed(value)
                task_finished.send_robust(sender=attempt.sender, task_result=attempt.result)
        except (Exception, SystemExit) as error:
            attempt.fail(error)
            raise
        return value

    return run


def _async_run(definition: DjangoDefinition) -> Callable[..., Any]:
    async def run(context: Context, args: list[Any], kwargs: dict[str, Any]) -> Any:
        attempt = Attempt(definition, context, args, kwargs)
        await attempt.off_the_loop(attempt.begin)
        await task_started.asend_robust(sender=attempt.sender, task_result=attempt.result)
        try:
            value = await definition.django_task.func(*attempt.leading, *args, **kwargs)
            if not has_yet_to_run(value):
                await attempt.off_the_loop(attempt.succeed, value)
                await task_finished.asend_robust(sender=attempt.sender, task_result=attempt.result)
        except (Exception, SystemExit) as error:
            await attempt.off_the_loop(attempt.fail, error)
            raise
        return value

    return run


class Attempt:
    """One attempt of a task, and what Django's code sees of it.

    Args:
        definition: The task.
        context: Of the delivery.
        args: What it is called with.
        kwargs: And by name.

    Attributes:
        result: Django's `TaskResult`, of now.
    """

    def __init__(self, definition: DjangoDefinition, context: Context, args: list[Any], kwargs: dict[str, Any]) -> None:
        place = definition.place_of
        self.sender = place.sender
        self._task = definition.django_task
        self._id = context.id
        self._attempt = context.attempt
        self._kept = Kept(
            task=definition.name,
            queue=self._task.queue_name,
            priority=self._task.priority,
            backend=place.alias,
            args=args,
            kwargs=kwargs,
            enqueued_at=context.message.sent_at,
        )
        self._noted = None if place.results is None else NotedAttempt(place.results, context.id, context.attempt)
        self.result: Any = None

    @property
    def leading(self) -> tuple[Any, ...]:
        """What goes before the arguments: Django's context, if the task takes it."""
        return (TaskContext(task_result=self.result),) if self._task.takes_context else ()

    def begin(self) -> None:
        """It begins."""
        at, worker = now(), worker_name()
        if self._noted is None:
            self._kept = replace(
                self._kept,
                status=RUNNING,
                started_at=at,
                last_attempted_at=at,
                workers=workers([], worker, self._attempt),
            )
        else:
            self._kept = self._noted.begin(self._kept, worker, at, may_wait=not has_own_receivers(task_started))
        self.result = task_result(self._kept, self._id, as_enqueued(self._task, self._kept))

    def succeed(self, value: object) -> None:
        """It returned a value.

        Raises:
            DeadLetter: Results are kept, and this one isn't JSON, which Django calls a failure. The work is done, so
                another attempt would do it twice.
        """
        if self._noted is not None:
            try:
                value = normalize_json(value)
                check_kept(value)  # keys that aren't texts, and halves of surrogate pairs, get as far as here
            except (TypeError, ValueError, RecursionError) as error:
                raise DeadLetter(f"what it returned can't be kept as its result: {error}") from error
        # A receiver of the project's may tell others that it is finished, who then look it up.
        kept = replace(self._kept, status=SUCCESSFUL, finished_at=now(), value=value)
        self._end(kept, may_wait=not has_own_receivers(task_finished))

    def fail(self, error: BaseException) -> None:
        """It raised: as far as is known here, it is to be tried again. Who dead-letters it says otherwise."""
        if isinstance(error, (Decided, Retry)):
            self._end(replace(self._kept, status=READY))
            return
        self._end(replace(self._kept, status=READY, errors=[*self._kept.errors, kept_error(error)]))

    def _end(self, kept: Kept, *, may_wait: bool = False) -> None:
        self._kept = kept
        if self._noted is not None:
            self._noted.end(kept, may_wait=may_wait)
        task = None if self.result is None else self.result.task
        self.result = task_result(kept, self._id, task or self._task)

    async def off_the_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        """Calls one of these from async code: a store may take its time."""
        if self._noted is None:
            function(*arguments)
        else:
            await in_a_thread(function, *arguments)


def kept_error(error: BaseException) -> KeptError:
    """An exception as a result keeps it: its class by its path, the end of its traceback, no secrets."""
    kind = type(error)
    failure = Failure.of("", error)
    return KeptError(f"{kind.__module__}.{kind.__qualname__}", failure.traceback or "")
