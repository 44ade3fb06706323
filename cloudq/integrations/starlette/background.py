"""Background tasks whose work is a message: in the place of Starlette's, which end with their process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, ParamSpec

import anyio
from starlette import background

from cloudq.core.safe_log import SafeLogger
from cloudq.tasks.sent import Sent
from cloudq.tasks.task import Call, Task

logger = SafeLogger("cloudq")

P = ParamSpec("P")


class BackgroundTasks(background.BackgroundTasks):
    """In the place of `starlette.background.BackgroundTasks`: what is a task of cloudq's is sent, and a worker runs it.

    A call is checked where it is added: arguments that don't fit are an error of the endpoint. When it is stored is up
    to the program:

    - `await tasks.store()` in the endpoint stores what was added so far, before there is a response. A call that can't
      be stored is an error of the endpoint; what was answered for is kept. The safer way.
    - What isn't stored by then is stored after the response, as Starlette runs its own: nobody waits for it. What the
      process takes along when it ends, or a backend refuses, is lost, though the response has said otherwise.

    Functions that are no tasks run in this process after the response, as usual.
    """

    def __init__(self, tasks: Sequence[background.BackgroundTask] | None = None) -> None:
        super().__init__(tasks)
        self._calls: list[Call] = []

    def add_task(self, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        """Adds a task of cloudq's, with what its `send` takes; or a function, which runs here after the response.

        Raises:
            PayloadError: The arguments don't fit the task's parameters.
            OptionError: The key that is made of them isn't valid.
        """
        if isinstance(func, Task):
            self._calls.append(func.call(*args, **kwargs))
        else:
            super().add_task(func, *args, **kwargs)

    async def store(self) -> list[Sent]:
        """Stores the messages of what was added so far, in few calls of the backend. Tries all of them.

        Returns:
            What each send says, in order.

        Raises:
            CloudqError: The first that couldn't be stored: see `App.asend`. Each that couldn't is logged by its task's
                name, and none is kept for another `store`.
        """
        calls, self._calls = self._calls, []
        stored: list[Sent | None] = [None] * len(calls)
        failed: dict[int, Exception] = {}

        async def send(place: int, call: Call) -> None:
            try:
                stored[place] = await call.task.app.asend(call)
            except Exception as error:  # noqa: BLE001 - the others are sent all the same; it is raised below
                failed[place] = error

        async with anyio.create_task_group() as group:
            for place, call in enumerate(calls):
                group.start_soon(send, place, call)
        for place, error in sorted(failed.items()):  # of which one alone can be raised
            logger.error("a call of %s wasn't stored: %s", calls[place].task.name, error)
        if failed:
            raise failed[min(failed)]
        return [sent for sent in stored if sent is not None]

    async def __call__(self) -> None:
        """After the response: stores what isn't stored yet, then runs the functions.

        Raises:
            CloudqError: One couldn't be stored; the functions have run all the same.
        """
        try:
            with anyio.CancelScope(shield=True):  # a client that hangs up has been answered, too
                await self.store()
        finally:
            await super().__call__()


class BackgroundTask(background.BackgroundTask):
    """In the place of `starlette.background.BackgroundTask`: a task of cloudq's is sent after the response.

    So it is lost where the process ends, or the backend refuses it, in between: `await task.asend(...)` in the endpoint
    is safer, and takes as long.

    Raises:
        PayloadError: The arguments don't fit the task's parameters.
        OptionError: The key that is made of them isn't valid.
    """

    def __init__(self, func: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        super().__init__(func, *args, **kwargs)
        self._call = func.call(*args, **kwargs) if isinstance(func, Task) else None

    async def __call__(self) -> None:
        """After the response.

        Raises:
            CloudqError: It couldn't be stored.
        """
        if self._call is None:
            await super().__call__()
            return
        with anyio.CancelScope(shield=True):  # a client that hangs up has been answered, too
            await self._call.task.app.asend(self._call)


async def background_tasks(own: background.BackgroundTasks) -> AsyncIterator[BackgroundTasks]:
    """A dependency of FastAPI's that gives an endpoint its `BackgroundTasks`.

    `tasks: Annotated[BackgroundTasks, Depends(background_tasks, scope="function")]` stores what was added when the
    endpoint returns, before the response: a call that can't be stored makes it a 500, and one that raises stores
    nothing. Without that scope (FastAPI before 0.121 has none) it is stored after the response.

    Args:
        own: FastAPI's own, which runs the functions that are no tasks.
    """
    tasks = BackgroundTasks()
    own.add_task(tasks)
    yield tasks
    await tasks.store()
