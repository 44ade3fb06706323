"""`TaskJob`: one run of a task."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, Protocol

from cloudq.core.claiming import KeptResult
from cloudq.core.ending import Ending
from cloudq.tasks.binding import Parameters
from cloudq.tasks.cancelled_on_demand import CancelledOnDemand
from cloudq.tasks.context import Context, Running, is_done_already, run_of
from cloudq.tasks.dependencies.of_app import Injected
from cloudq.tasks.home import TaskHome
from cloudq.tasks.unrun import has_yet_to_run

_DONE_ALREADY: Final = KeptResult(None, "result not kept: by the delivery that did the work", Ending.DUPLICATE)


class Declared(Injected, Protocol):
    """A task's declaration, as far as its runs need it."""

    app: TaskHome
    function: Callable[..., Any]
    parameters: Parameters


class TaskJob:
    """One run of a task: its function, context and arguments."""

    __slots__ = ("_arguments", "_definition", "context")

    def __init__(self, definition: Declared, context: Context, arguments: dict[str, object]) -> None:
        self.context = context
        self._definition = definition
        self._arguments = arguments

    def run(self) -> object:
        """Calls a sync function."""
        try:
            with Running(self.context):
                result = self._call()
        except BaseException as error:
            if is_done_already(self.context, error):
                return _DONE_ALREADY
            raise
        return self._refuse_unrun(result)

    async def arun(self) -> object:
        """Calls and awaits an async function; cancels it once somebody wants that."""
        run = run_of(self.context)
        try:
            with Running(self.context):
                if run is None:
                    result = await self._call()
                else:
                    async with CancelledOnDemand(run):
                        result = await self._call()
        except BaseException as error:
            if is_done_already(self.context, error):
                return _DONE_ALREADY
            raise
        return self._refuse_unrun(result)

    def _refuse_unrun(self, result: object) -> object:
        """The result, if it isn't something whose code has yet to run: that must not count as done.

        Raises:
            TypeError: A decorator hid what the function is, or an await was forgotten.
        """
        if result is None or not has_yet_to_run(result):
            return result
        if inspect.iscoroutine(result) or inspect.isgenerator(result):
            result.close()
        raise TypeError(
            f"task {self._definition.name!r} returned a {type(result).__name__}, whose code nothing would run: "
            "await it in the task; a decorator of an async def must be an async def itself"
        )

    def _call(self) -> Any:
        args, kwargs = self._definition.parameters.call(self._arguments)
        if self._definition.parameters.takes_context:
            return self._definition.function(self.context, *args, **kwargs)
        return self._definition.function(*args, **kwargs)
