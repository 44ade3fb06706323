"""`CloudqBackend`: Django's tasks on any of cloudq's queues."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Error

from cloudq.errors import CloudqError
from cloudq.integrations.django.contract import (
    BaseTaskBackend,
    InvalidTask,
    TaskResultDoesNotExist,
    task_enqueued,
)
from cloudq.integrations.django.options import EVERY_TASK
from cloudq.integrations.django.place import place_of
from cloudq.integrations.django.resolver import task_of
from cloudq.integrations.django.results import Kept
from cloudq.integrations.django.values import as_enqueued, known, now, task_result
from cloudq.tasks.async_libraries import in_a_thread
from cloudq.tasks.json_values import to_json
from cloudq.tasks.options import SendOptions
from cloudq.tasks.task import Call

if TYPE_CHECKING:
    from cloudq.app import App

_ZERO = timedelta(0)


class CloudqBackend(BaseTaskBackend):  # type: ignore[misc]  # Django's, or its backport's: see `contract`
    """Keeps the messages of Django's tasks in cloudq's queues, for `cloudq worker` to run.

    Example:
        ```python
        TASKS = {
            "default": {
                "BACKEND": "cloudq.integrations.django.CloudqBackend",
                "QUEUES": ["default", "mail"],
                "OPTIONS": {
                    "url": "sqs://eu-west-1?prefix=shop-",
                    "tasks": {"shop.tasks.report": {"time_limit": timedelta(minutes=10)}},
                },
            }
        }
        ```

    A send is stored when `enqueue` returns, whatever transaction is open: Django's contract.

    `OPTIONS`, none of which has to be given:

    - `url`: where messages are kept, for an app of its own. Without it: cloudq's default app, whose `CLOUDQ_URL` or
      settings say it, and whose worker runs its own tasks besides.
    - `store`: the URL of the store that results are kept in; goes with `url`.
    - `results`: for how long, as a timedelta; `True` for a day, `False` for not at all. Default: a day with `store`.
    - `tasks`: what tasks have of their own, by the path of each: `lease`, `retry`, `time_limit`, `rate`, `at_once`,
      `breaker`, `expires`, `on_expired`, `track`, as in `cloudq.TaskOptions`. `"*"`: of all that don't say otherwise.
    - `modules`: modules that may have tasks beside those of the installed apps.
    - `priorities`: the least priority by the suffix of a queue, the most urgent first, down to -100:
      `{"-high": 10, "": 0, "-low": -100}`. Without it, tasks have no priority.
    """

    supports_defer = True
    supports_async_task = True

    def __init__(self, alias: str, params: Mapping[str, Any]) -> None:
        super().__init__(alias, params)
        self._place = place_of(alias, params, type(self))
        self.supports_priority = bool(self._place.options.levels)
        self.supports_get_result = self._place.results is not None

    @property
    def app(self) -> App:
        """The app that keeps its messages: for an edge, a test, or a look at its queues."""
        return self._place.app

    def validate_task(self, task: Any) -> None:
        """Refuses what a worker couldn't run: beside what Django refuses, a function that no module has by its name."""
        super().validate_task(task)
        if "." in task.func.__qualname__:
            raise InvalidTask(
                f"{task.module_path} is within a class: a worker finds a task by its module's names alone"
            )

    def enqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Stores a task to be run. Returns only when it is stored.

        Raises:
            InvalidTask: Django refuses it, or no worker would find it by its name.
            TypeError: An argument isn't JSON.
            CloudqError: It would arrive as something else, or may not be stored.
        """
        call, result = self._prepared(task, args, kwargs)
        return self._enqueued(result, call, self.app.send(call).id)

    async def aenqueue(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """As `enqueue`, for async code: the loop is never blocked."""
        call, result = self._prepared(task, args, kwargs)
        sent = await self.app.asend(call)
        object.__setattr__(result, "id", sent.id)
        if self._place.results is not None:
            await in_a_thread(self._note, [(call, result)])
        await task_enqueued.asend_robust(sender=type(self), task_result=result)
        return result

    def enqueue_many(self, calls: Iterable[tuple[Any, Sequence[Any], Mapping[str, Any]]]) -> list[Any]:
        """Stores many tasks with few calls of the service.

        Args:
            calls: A task, its arguments, and those by name, for each.

        Returns:
            One `TaskResult` for each, in order.

        Raises:
            InvalidTask: One of them is refused. Nothing was stored.
            SendManyError: Some were not stored. `.results` has a `Sent` or an error for each, in order.
        """
        prepared = [self._prepared(task, args, kwargs) for task, args, kwargs in calls]
        sent = self.app.send_many([call for call, _ in prepared])
        for (_, result), one in zip(prepared, sent, strict=True):
            object.__setattr__(result, "id", one.id)
        self._note(prepared)
        for _, result in prepared:
            task_enqueued.send_robust(sender=type(self), task_result=result)
        return [result for _, result in prepared]

    def get_result(self, result_id: str) -> Any:
        """What is known of a task that was enqueued.

        Raises:
            TaskResultDoesNotExist: Nothing is kept of it, or its task isn't here any more.
            NotImplementedError: This back end keeps no results.
            CloudqError: The store can't be reached, or there is none.
        """
        if self._place.results is None:
            return super().get_result(result_id)
        kept = self._place.results.look(str(result_id))
        task = None if kept is None else task_of(kept.task, self._place.options.modules)
        if kept is None or task is None:
            raise TaskResultDoesNotExist(result_id)
        return task_result(kept, str(result_id), as_enqueued(task, kept))

    async def aget_result(self, result_id: str) -> Any:
        """As `get_result`, for async code."""
        return await in_a_thread(self.get_result, result_id)

    def check(self, **_: Any) -> Iterator[CheckMessage]:
        """What `manage.py check` says of it: a URL that can't be used, no store, tasks that aren't there."""
        try:
            self.app.url  # noqa: B018 - it is read for its errors
            if self._place.results is not None and not self.app.runtime.stores.in_use:
                hint = "OPTIONS['store'], or CLOUDQ_STORE_URL, here and at workers"
                yield self._error("results are to be kept, and there is no store to keep them in", hint, "E101")
        except CloudqError as error:
            yield self._error(error.message, error.hint, "E102")
        for alias in self._place.at_odds():
            hint = "the same OPTIONS for both, or a url for one of them"
            yield self._error(f"it shares cloudq's default app with {alias!r}, whose OPTIONS differ", hint, "E105")
        for name in self._place.options.tasks:
            if name == EVERY_TASK:
                continue
            task = task_of(name, self._place.options.modules)
            if task is None:
                hint = "the path of a task in an installed app: 'shop.tasks.report'"
                yield self._error(f"OPTIONS['tasks'] names {name!r}, which is no task", hint, "E103")
                continue
            try:
                self._place.declare(task)
            except CloudqError as error:
                yield self._error(error.message, error.hint, "E104")

    def _error(self, what: str, hint: str | None, id_: str) -> CheckMessage:
        return Error(f"TASKS[{self.alias!r}]: {what}", hint=hint, id=f"cloudq.{id_}")

    def _prepared(self, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Call, Any]:
        """A call that is ready to be sent, and Django's result without its id."""
        self.validate_task(task)
        ours = self._place.task_for(task)
        if ours is None:
            raise InvalidTask(
                f"no worker would find {task.module_path}: it is to be a task in a module of an installed app, or of "
                f"TASKS[{self.alias!r}]['OPTIONS']['modules']"
            )
        at = now()
        result = task_result(self._ready(task, list(args), dict(kwargs), at), "", task)
        payload = {"args": result.args, "kwargs": result.kwargs}  # in Django's normal form by now
        if to_json(payload, task.module_path) != payload:
            raise TypeError(f"Unsupported type: a key in the arguments of {task.module_path} isn't a text")
        # Stored at once, whatever transaction is open: Django's contract.
        options: SendOptions = {
            "queue": self._place.options.queue(task.queue_name, task.priority),
            "on_commit": False,
        }
        if (run_after := known(task.run_after)) is not None:
            options["at"] = run_after
        return Call(task=ours, payload=payload, options=options), result

    def _ready(self, task: Any, args: list[Any], kwargs: dict[str, Any], at: datetime) -> Kept:
        return Kept(
            task=task.module_path,
            queue=task.queue_name,
            backend=self.alias,
            priority=task.priority,
            run_after=known(task.run_after),
            args=args,
            kwargs=kwargs,
            enqueued_at=at,
        )

    def _enqueued(self, result: Any, call: Call, id_: str) -> Any:
        object.__setattr__(result, "id", id_)
        self._note([(call, result)])
        task_enqueued.send_robust(sender=type(self), task_result=result)
        return result

    def _note(self, sent: Sequence[tuple[Call, Any]]) -> None:
        if self._place.results is None:
            return
        noted = []
        for call, result in sent:
            enqueued = known(result.enqueued_at) or now()
            ahead = max(_ZERO, call.options.get("at", enqueued) - enqueued)
            noted.append((result.id, self._ready(result.task, result.args, result.kwargs, enqueued), ahead))
        self._place.results.add(noted)
