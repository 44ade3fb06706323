"""What is called on an event loop before it ends: to close what was opened on it, and can't be closed elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

LoopEnd: TypeAlias = Callable[[], Awaitable[None]]

_lock: Final = threading.Lock()
# Guarded by the lock.
_ends: Final[WeakKeyDictionary[AbstractEventLoop, list[LoopEnd]]] = WeakKeyDictionary()


def at_end(loop: AbstractEventLoop, function: LoopEnd) -> None:
    """Has the function called on that loop before it ends, if it is one that an edge of ours runs: the latest first."""
    with _lock:
        _ends.setdefault(loop, []).append(function)


async def end(loop: AbstractEventLoop) -> None:
    """Calls on the loop that runs here what is to be called at its end. They raise nothing."""
    with _lock:
        functions = _ends.pop(loop, [])
    for function in reversed(functions):
        await function()
