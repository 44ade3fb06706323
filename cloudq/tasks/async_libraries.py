"""Which async library runs here, asyncio or trio, and how a blocking call is awaited on it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import Context, copy_context
from datetime import timedelta
from typing import Any, TypeVar

from cloudq.errors import UnsupportedError

T = TypeVar("T")


def in_a_loop() -> bool:
    """Whether asyncio or trio runs in this thread, which a blocking call holds up."""
    return in_asyncio() or in_trio()


def in_asyncio() -> bool:
    """Whether a loop of asyncio runs in this thread."""
    # asyncio isn't loaded for this: where it isn't, no loop runs. Another thread may be loading it just now, and then
    # the module is there with a part of its names.
    running = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    return running is not None and running() is not None


def in_trio() -> bool:
    """Whether a task of trio is what runs in this thread: also where trio is asyncio's guest, or its host."""
    if "trio" not in sys.modules:
        return False
    told = getattr(sys.modules.get("sniffio"), "thread_local", None)  # by whichever library runs the task at hand
    return getattr(told, "name", None) == "trio"


def check_awaitable(method: str) -> None:
    """Refuses to begin what couldn't be awaited to its end.

    Raises:
        UnsupportedError: Neither asyncio nor trio runs here.
    """
    if not in_a_loop():
        raise UnsupportedError(
            f"{method} is for asyncio and trio, and neither runs here",
            hint=f"call {method.removeprefix('a')} in a thread of the library that does",
        )


def context_for_a_thread() -> Context:
    """This context, for a thread with a loop of its own: trio keeps in it that it is trio that runs."""
    context = copy_context()
    told = getattr(sys.modules.get("sniffio"), "current_async_library_cvar", None)
    if told is not None:
        context.run(told.set, None)
    return context


async def pause(span: timedelta) -> None:
    """Waits that long, while the loop serves others."""
    if not in_trio():
        import asyncio

        await asyncio.sleep(span.total_seconds())
        return
    import trio

    await trio.sleep(span.total_seconds())


async def in_a_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Awaits a blocking call that runs in a thread, in this context. Cancelling leaves it to run to its end."""
    if not in_trio():
        import asyncio

        return await asyncio.to_thread(function, *arguments)
    import trio

    result: T = await trio.to_thread.run_sync(function, *arguments, abandon_on_cancel=True)
    return result
