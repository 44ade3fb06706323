"""`Registry`: the tasks that an app declares, by name and alias."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from threading import Lock
from types import MappingProxyType
from typing import Any, Final

from cloudq.core.message import Message
from cloudq.core.printable import shortened
from cloudq.errors import CloudqError, TaskDefinitionError, UnknownTaskError
from cloudq.errors.words import nearest
from cloudq.tasks.declarations import replaces
from cloudq.tasks.definition import Definition
from cloudq.tasks.home import TaskHome
from cloudq.tasks.importing import not_imported
from cloudq.tasks.key_options import NO_KEY_OPTIONS
from cloudq.tasks.options import TaskOptions
from cloudq.tasks.resolving import Resolver, Resolving
from cloudq.tasks.task import Task

# Of a wrong name, in an error.
_SHOWN: Final = 60


class Registry:
    """The declared tasks of one app. Tasks may be declared from several threads, as modules are imported."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._definitions: dict[str, Definition] = {}
        self._tasks: dict[str, Task[..., Any]] = {}
        # Made once, since each send looks at it.
        self._seen: Mapping[str, Definition] = MappingProxyType(self._definitions)
        self._loaded = False

    def declare(
        self, home: TaskHome, function: Callable[..., Any], name: str | None, options: TaskOptions
    ) -> Task[..., Any]:
        """Declares a task from a function.

        Raises:
            TaskDefinitionError: It is a task already, can't be one, or its name or one of its aliases is taken.
            OptionError: The queue's name isn't one.
        """
        if isinstance(function, Task):
            raise TaskDefinitionError(
                f"{function!r} is a task already", hint="declare its function once more: app.task(the_task.__wrapped__)"
            )
        return self.add(Definition(home, function, name, options))

    def add(self, definition: Definition) -> Task[..., Any]:
        """Declares a task.

        Raises:
            TaskDefinitionError: Its name, or one of its aliases, is taken.
        """
        names = (definition.name, *definition.aliases)
        task: Task[..., Any] = Task(definition)
        with self._lock:
            for name in names:
                other = self._definitions.get(name)
                if other is not None and not replaces(definition, other):
                    raise TaskDefinitionError(
                        f"the task name {name!r} is declared twice: at {other.place} and at {definition.place}",
                        hint='give one of them another name: @cloudq.task("shop.welcome")',
                    )
            self._tasks[definition.name] = task
            self._definitions.update(dict.fromkeys(names, definition))
        return task

    def resolve_by(self, resolver: Resolver) -> None:
        """Has tasks that aren't declared found by a resolver, in place of any before; each is kept once it was."""
        self._seen = Resolving(self._definitions, partial(self._found, resolver))

    def _found(self, resolver: Resolver, name: str) -> Definition | None:
        definition = resolver(name)  # without the lock: it may import, and what it imports may declare
        if definition is None or name not in (definition.name, *definition.aliases):
            return None
        with self._lock:
            for own in (definition.name, *definition.aliases):
                self._definitions.setdefault(own, definition)
            self._tasks.setdefault(definition.name, Task(definition))
            return self._definitions[name]

    @property
    def tasks(self) -> Mapping[str, Task[..., Any]]:
        """The tasks by name, aliases left out; follows later declarations."""
        return MappingProxyType(self._tasks)

    @property
    def definitions(self) -> Mapping[str, Definition]:
        """The definitions by name and alias; follows later declarations. Found by the resolver, if there is one."""
        return self._seen

    def fingerprint_of(self, message: Message) -> bytes:
        """What tells its payload from others of its idempotency key: all but what its task ignores there."""
        definition = self._seen.get(message.task)
        options = NO_KEY_OPTIONS if definition is None else definition.key_options
        return options.fingerprint(message.payload)

    def check_payload(self, message: Message) -> None:
        """Refuses a payload that its task, if it is one of these, wouldn't take.

        Raises:
            PayloadError: It says why.
        """
        definition = self._seen.get(message.task)
        if definition is not None:
            definition.parameters.arguments(message.payload)

    def check_task(self, name: str) -> None:
        """Refuses the name of a task that isn't one of these, if there are some and all are known: after `load`.

        Raises:
            UnknownTaskError: It names the nearest.
        """
        if self._loaded and self._definitions and name not in self._seen:
            raise UnknownTaskError(
                f"no task {shortened(repr(name), _SHOWN)} is declared: {nearest(name, self._definitions)}",
                hint="for a worker of another program: --unchecked, or unchecked=True",
            )

    def load(self, modules: Sequence[str]) -> None:
        """Imports modules that declare tasks, then resolves every task's types.

        Raises:
            ConfigurationError: A module can't be imported.
            TaskDefinitionError: A type can't travel as JSON, or a dependency can't be called as it asks for.
        """
        for module in modules:
            try:
                import_module(module)
            except CloudqError:
                raise  # a task's declaration, say: it explains itself
            except Exception as error:
                raise not_imported(f"imports names {module!r}, which can't be imported", error) from error
        for definition in list(self._definitions.values()):
            definition.check()
            if definition.run_options.keep_result is not None:
                definition.result_type.check()
        self._loaded = True
