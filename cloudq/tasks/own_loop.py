"""Async tasks that a test runs, and the transaction that a Django test is in.

Django keeps one connection for each thread, and a test's transaction is on the connection of the test's own thread.
Async ORM calls go to the thread that waits for their loop, if asgiref started that loop. So code on a loop of its own
elsewhere reads and writes outside of the transaction, leaves rows for the next test, or waits for a locked table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterator, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

T = TypeVar("T")


def run_in_own_loop(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs a coroutine to its end where no loop runs, on one of its own; where Django is loaded, by its asgiref."""
    sync = _asgiref()
    if sync is None:
        import asyncio

        return asyncio.run(make())

    async def run() -> T:  # asgiref warns of whatever isn't an async def itself
        return await make()

    result: T = sync.async_to_sync(run)()
    return result


async def run_off_the_loop(function: Callable[[], T]) -> T:
    """Calls a function of sync code from async code: here, or where Django is loaded in the thread of its connection.

    There Django itself refuses to run the ORM on a loop.
    """
    sync = _asgiref()
    if sync is None:
        return function()
    result: T = await sync.sync_to_async(function, thread_sensitive=True)()
    return result


def connections_executor() -> object:
    """Where the ORM calls of the code that runs on this loop go; `None` where there is nothing of that kind.

    asgiref has no public name for it. Without it, such a call goes to a thread of its own, outside of a transaction.
    """
    sync = _asgiref()
    if sync is None:
        return None
    import asyncio

    here = getattr(getattr(sync.AsyncToSync, "executors", None), "current", None)
    return here or _executors(sync).get(asyncio._get_running_loop())


@contextmanager
def lent(executor: object, loop: AbstractEventLoop) -> Iterator[None]:
    """Within the block, ORM calls on another loop go to that executor, too."""
    sync = _asgiref()
    if sync is None or executor is None:
        yield
        return
    executors = _executors(sync)
    executors[loop] = executor
    try:
        yield
    finally:
        executors.pop(loop, None)


def _executors(sync: Any) -> MutableMapping[AbstractEventLoop | None, object]:
    found: MutableMapping[AbstractEventLoop | None, object] = getattr(sync.AsyncToSync, "loop_thread_executors", {})
    return found


def django_is_loaded() -> bool:
    """Whether Django's transactions have to be taken into account."""
    return _asgiref() is not None


def _asgiref() -> Any:
    """The module `asgiref.sync`, which Django brings along, if this program uses Django."""
    if "django" not in sys.modules:
        return None
    try:
        import asgiref.sync
    except ImportError:
        return None
    return asgiref.sync
