"""The app behind a back end, one for all threads: Django makes a back end anew in each of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from cloudq.app import App
from cloudq.core.notes import Notes
from cloudq.core.safe_log import SafeLogger
from cloudq.default_app import default
from cloudq.errors import CloudqError
from cloudq.integrations.django.contract import task_backends, task_finished
from cloudq.integrations.django.options import BackendOptions, backend_options, checked_queue
from cloudq.integrations.django.resolver import task_of
from cloudq.integrations.django.results import FAILED, MOST_WORKERS, Kept, KeptError, KeptResults
from cloudq.integrations.django.running import DjangoDefinition
from cloudq.integrations.django.surroundings import prepare
from cloudq.integrations.django.values import as_enqueued, now, task_result
from cloudq.tasks.definition import Definition
from cloudq.tasks.hooks import DeadDelivery
from cloudq.tasks.task import Task

logger = SafeLogger("cloudq.django")

_DEFAULT_QUEUE: Final = "default"
_BUILTINS: Final = "builtins"


class BackendPlace:
    """Where the messages of a back end are, and what is declared of its tasks. Thread-safe.

    Args:
        alias: Its alias in `TASKS`.
        params: What `TASKS` says of it.
        sender: The class of the back end, which its signals name.

    Attributes:
        app: Keeps the messages: its own where `OPTIONS` has a URL, else cloudq's default one.
        names: Django's queue names that it takes; none: any.
        results: What is kept of its tasks; `None`: nothing.

    Raises:
        InvalidTaskBackend: `TASKS` can't mean that.
    """

    def __init__(self, alias: str, params: Mapping[str, Any], sender: type) -> None:
        self.alias = alias
        self.params = params
        self.sender = sender
        self.options: BackendOptions = backend_options(alias, params.get("OPTIONS", {}))
        self.names = tuple(checked_queue(alias, name) for name in params.get("QUEUES", [_DEFAULT_QUEUE]))
        self.app = default if self.options.url is None else App(self.options.url, store=self.options.store)
        keep = self.options.results
        self.results = None if keep is None else KeptResults(self._notes, keep)
        self._elsewhere: dict[tuple[str, str], Task[..., Any]] = {}  # to queues that the declared one doesn't name
        prepare(self.app)
        self.app.on_dead(self.dead)
        self.app.resolve_tasks(partial(_found, self.app))

    @property
    def home(self) -> App:
        """The app."""
        return self.app

    def close(self) -> None:
        """Closes what only this back end uses: its settings are gone."""
        if self.app is not default:
            self.app.close()

    def task_for(self, task: Any) -> Task[..., Any] | None:
        """One of Django's tasks as one of ours; `None` if a worker wouldn't find it by its name.

        Raises:
            OptionError: Its queue's name isn't one.
        """
        declared = self.app.runtime.handlers.get(task.module_path)
        if not isinstance(declared, DjangoDefinition) or declared.django_task.func is not task.func:
            return None
        if self.names or task.queue_name == declared.django_task.queue_name:
            return self.app.tasks[declared.name]
        key = (declared.name, task.queue_name)
        if key not in self._elsewhere:
            elsewhere = DjangoDefinition(self, declared.django_task, task.queue_name)
            if elsewhere.queue not in self.app.runtime.declared_queues():
                logger.warning(
                    "TASKS[%r] takes any queue, and no task that is known here declares %r: a worker takes from it "
                    "only where it is asked to, by --queue %s",
                    self.alias,
                    elsewhere.queue,
                    elsewhere.queue,
                )
            self._elsewhere[key] = Task(elsewhere)
        return self._elsewhere[key]

    def declare(self, task: Any) -> Definition:
        """One of Django's tasks, declared in the app.

        Raises:
            TaskDefinitionError: What `OPTIONS` says of it means nothing.
            OptionError: Its queue's name isn't one.
        """
        return self.app.runtime.handlers.get(task.module_path) or DjangoDefinition(self, task)

    def at_odds(self) -> list[str]:
        """The aliases of other back ends that share the app, and say otherwise what is to become of its tasks."""
        known = [place for alias, place in _places.copy().items() if alias in task_backends.settings]
        others = [place for place in known if place.app is self.app and place is not self]
        return [place.alias for place in others if place.options != self.options]

    def _notes(self) -> Notes:
        return self.app.runtime.results.store("results").notes

    def dead(self, dead: DeadDelivery) -> None:
        """A message is dead-lettered: if it is of a task of this back end's, that one is finished, as failed."""
        definition = None if dead.task is None else self.app.runtime.handlers.get(dead.task)
        if not isinstance(definition, DjangoDefinition) or definition.place_of is not self or dead.message is None:
            return
        kept, version = self._known(definition, dead)
        kept = replace(kept, status=FAILED, finished_at=now())
        if not kept.errors and dead.failure.error_type is not None:
            path = dead.failure.error_type
            path = path if "." in path else f"{_BUILTINS}.{path}"
            kept = replace(kept, errors=[KeptError(path, dead.failure.traceback or dead.reason)])
        if self.results is not None:
            self.results.end(dead.message.id, kept, after=version)
        task = as_enqueued(definition.django_task, kept)
        _finished(self.sender, task_result(kept, dead.message.id, task))

    def _known(self, definition: DjangoDefinition, dead: DeadDelivery) -> tuple[Kept, int]:
        message, task = dead.message, definition.django_task
        if message is None:
            raise LookupError(dead.id)  # who calls has looked
        args, kwargs = message.payload.get("args"), message.payload.get("kwargs")
        fresh = Kept(
            task=definition.name,
            queue=task.queue_name,
            priority=task.priority,
            backend=self.alias,
            args=args if isinstance(args, list) else [],
            kwargs=kwargs if isinstance(kwargs, dict) else {},
            enqueued_at=message.sent_at,
            workers=[dead.failure.worker or "unknown"] * min(dead.attempt, MOST_WORKERS)
            if dead.failure.error_type
            else [],
        )
        return (fresh, 0) if self.results is None else self.results.known(message.id, fresh)


def place_of(alias: str, params: Mapping[str, Any], sender: type) -> BackendPlace:
    """The place of a back end: the same in every thread, until `TASKS` says something else of it.

    Raises:
        InvalidTaskBackend: `TASKS` can't mean that.
    """
    with _lock:
        place = _places.get(alias)
        if place is not None and place.params == params and place.sender is sender:
            return place
        made = BackendPlace(alias, params, sender)
        if place is not None:
            place.close()
        _places[alias] = made
        return made


_lock: Final = threading.Lock()
_places: Final[dict[str, BackendPlace]] = {}
"""By alias. Guarded by the lock."""


def _found(app: App, name: str) -> Definition | None:
    """The task of a name in a message, for the app of one back end or of several: of that which the task names."""
    places = {alias: place for alias, place in _places.copy().items() if place.app is app}
    task = task_of(name, [module for place in places.values() for module in place.options.modules])
    if task is None or not places:
        return None
    place = places.get(task.backend) or next(iter(places.values()))
    try:
        return DjangoDefinition(place, task)
    except CloudqError as error:
        logger.warning("%s is unknown here, as it can't be declared: %s", task.module_path, error)
        return None


def _finished(sender: type, result: Any) -> None:
    """Tells Django's receivers; from a loop in a thread, as they may use the database, which Django refuses there."""

    def tell() -> None:
        task_finished.send_robust(sender=sender, task_result=result)

    def tell_and_close() -> None:
        from django.db import connections

        try:
            tell()
        finally:
            connections.close_all()  # this thread's own, which ends

    if asyncio._get_running_loop() is None:
        tell()
        return
    thread = threading.Thread(target=tell_and_close, name="cloudq-django-finished")
    thread.start()
    thread.join()
