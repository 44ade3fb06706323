"""`InjectedJob`: a run of a task that has dependencies; and a direct call of one."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from cloudq.tasks.context import Context
from cloudq.tasks.dependencies import attempt
from cloudq.tasks.job import Declared, TaskJob


class InjectedJob(TaskJob):
    """As `TaskJob`: the function is called with its dependencies, which are closed before its run is over."""

    __slots__ = ()

    def _call(self) -> Any:
        definition = self._definition
        in_force = definition.app.dependencies.in_force
        run = attempt.arun if definition.is_async else attempt.run
        return run(in_force.plan(definition), self.context, in_force.process, self._call_with)

    def _call_with(self, values: dict[str, object]) -> Any:
        parameters = self._definition.parameters
        args, kwargs = parameters.call(self._arguments)
        if parameters.takes_context:
            args = (self.context, *args)
        return self._definition.function(*args, **kwargs, **values)


def call_directly(definition: Declared, context: Context, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Calls a task's function here and now: what of its dependencies isn't given is filled in.

    Returns:
        What the function returns: of an async one a coroutine, which opens them once it is awaited.
    """
    if definition.parameters.takes_context:
        args = (context, *args)
    given = inspect.signature(definition.function).bind_partial(*args, **kwargs).arguments
    in_force = definition.app.dependencies.in_force
    plan = in_force.plan_without(definition, given)
    run = attempt.arun if definition.is_async else attempt.run
    return run(plan, context, in_force.process, lambda values: partial(definition.function, *args, **kwargs)(**values))
