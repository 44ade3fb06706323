"""`Dependencies`: those of one app: what is called in place of what, and what serves the process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from cloudq.errors import ConfigurationError

if TYPE_CHECKING:
    from cloudq.tasks.dependencies.marks import Mark
    from cloudq.tasks.dependencies.nodes import Plan
    from cloudq.tasks.dependencies.process import ProcessValues


class Injected(Protocol):
    """A task's declaration, as far as its dependencies go."""

    @property
    def name(self) -> str:
        """The task's name."""
        ...

    @property
    def is_async(self) -> bool:
        """Whether it is an async one."""
        ...

    @property
    def dependencies(self) -> Mapping[str, Mark]:
        """The marks of its parameters."""
        ...


class InForce:
    """What holds at a time.

    Args:
        overrides: What is called in place of what, by `key_of`.

    Attributes:
        process: The values of the process.
    """

    def __init__(self, overrides: Mapping[Hashable, Callable[..., Any]]) -> None:
        from cloudq.tasks.dependencies.process import ProcessValues

        self.overrides = overrides
        self.process: ProcessValues = ProcessValues()
        self._plans: dict[Injected, Plan] = {}

    def plan(self, task: Injected) -> Plan:
        """How a task's dependencies are called.

        Raises:
            TaskDefinitionError: They can't be.
        """
        found = self._plans.get(task)
        if found is None:
            found = self._plans[task] = self.plan_without(task, ())
        return found

    def plan_without(self, task: Injected, given: Collection[str]) -> Plan:
        """As `plan`, where values of some of its parameters are there already."""
        from cloudq.tasks.dependencies.nodes import planned

        marks = {name: mark for name, mark in task.dependencies.items() if name not in given}
        return planned(marks, task=task.name, is_async=task.is_async, overrides=self.overrides)


class Dependencies:
    """Those of one app. Costs nothing until a task has one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Made under the lock, once.
        self._in_force: InForce | None = None

    @property
    def in_force(self) -> InForce:
        """What holds now."""
        if self._in_force is not None:
            return self._in_force
        with self._lock:
            if self._in_force is None:
                self._in_force = InForce({})
            return self._in_force

    @contextmanager
    def overriding(self, overrides: Mapping[Callable[..., Any], Callable[..., Any]]) -> Iterator[None]:
        """Within the block others are called in their place, with values of the process of its own.

        Raises:
            ConfigurationError: One of them is no function.
        """
        from cloudq.tasks.dependencies.nodes import key_of

        for function in (*overrides, *overrides.values()):
            if not callable(function):
                raise ConfigurationError(
                    f"a dependency is overridden by a function, not {function!r}", hint="{get_session: lambda: session}"
                )
        before = self.in_force
        given = {key_of(function): other for function, other in overrides.items()}
        self._in_force = InForce({**before.overrides, **given})
        try:
            yield
        finally:
            within, self._in_force = self._in_force, before
            within.process.close()

    def close(self) -> None:
        """Closes what serves the process. Never raises; the next run that asks has it made anew."""
        if self._in_force is not None:
            self._in_force.process.close()
