"""`ProcessValues`: dependencies that serve a whole process, made when they are first asked for."""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from cloudq.core.safe_log import SafeLogger, is_ctrl_c
from cloudq.core.shield import shielded
from cloudq.tasks.async_libraries import in_a_loop
from cloudq.tasks.dependencies.nodes import Node
from cloudq.tasks.dependencies.opening import Stack, close_here, close_on_loop, in_a_thread, open_here, open_on_loop
from cloudq.tasks.loop_ends import at_end

if TYPE_CHECKING:
    import asyncio

logger = SafeLogger("cloudq")

# A child process has two seconds for all that it does at its end.
PATIENCE: Final = timedelta(seconds=2)
_NOTHING: Final = object()


class ProcessValues:
    """The values of one process. Thread-safe. What fails to be made is tried again by the next that asks.

    A value that belongs to an event loop is made for each one, since it can't be awaited on another.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        # Guarded by the lock.
        self._values: dict[Hashable, Any] = {}
        self._making: dict[Hashable, threading.Lock] = {}
        self._stack: Stack = []
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopValues] = WeakKeyDictionary()

    @shielded
    def value(self, node: Node, arguments: dict[str, object]) -> Any:
        """The value of a plain one, made here at the first call. A time limit strikes once it is made.

        Raises:
            BaseException: What making it raised.
        """
        if (found := self._found(node)) is not _NOTHING:
            return found
        with self._lock:
            making = self._making.setdefault(node.key, threading.Lock())
        with making:  # others wait for this value alone
            if (found := self._found(node)) is not _NOTHING:
                return found
            stack: Stack = []
            value = open_here(node, arguments, stack)
            with self._lock:
                self._values[node.key] = value
                self._stack += stack
            return value

    async def avalue(self, node: Node, arguments: dict[str, object]) -> Any:
        """As `value`, of any, without blocking the loop."""
        if node.on_loop:
            return await self._of_this_loop().value(node, arguments)
        found = self._found(node)
        return found if found is not _NOTHING else await in_a_thread(partial(self.value, node, arguments))

    def close(self) -> None:
        """Closes all, those of loops first; the next that asks has another made. What one raises is logged."""
        if self._pid != os.getpid():
            return self._begin()  # a fork: they are the parent's
        with self._lock:
            loops = list(self._loops.items())
        for loop, values in loops:
            self._close_from_here(loop, values)
        with self._lock:
            stack, self._stack, self._values = self._stack, [], {}
        while stack:
            try:
                close_here(stack)
            except BaseException as error:
                if is_ctrl_c(error):
                    raise
                logger.exception("dependency %s failed at the end of the process", stack.pop().node.name)
        return None

    def _found(self, node: Node) -> Any:
        if self._pid != os.getpid():
            self._lock = threading.Lock()  # another thread of the parent may have held it
            self._begin()
        return self._values.get(node.key, _NOTHING)

    def _of_this_loop(self) -> _LoopValues:
        import asyncio

        loop = asyncio.get_running_loop()
        with self._lock:
            values = self._loops.get(loop)
            if values is None:
                values = self._loops[loop] = _LoopValues()
                at_end(loop, values.close)
        return values

    def _close_from_here(self, loop: asyncio.AbstractEventLoop, values: _LoopValues) -> None:
        """Has its loop close what belongs to it. What is left is closed by the end of the loop."""
        if loop.is_closed():
            return
        if not loop.is_running():
            if not in_a_loop():
                loop.run_until_complete(values.close())
            return
        import asyncio

        if asyncio._get_running_loop() is loop:
            return  # it can't be waited for from here
        closing = asyncio.run_coroutine_threadsafe(values.close(), loop)
        try:
            closing.result(PATIENCE.total_seconds())
        except TimeoutError:
            logger.warning("dependencies of the process aren't closed within %.0f s", PATIENCE.total_seconds())


class _LoopValues:
    """Those that belong to one event loop; used on it alone."""

    def __init__(self) -> None:
        self._values: dict[Hashable, Any] = {}
        self._making: dict[Hashable, asyncio.Lock] = {}
        self._stack: Stack = []

    async def value(self, node: Node, arguments: dict[str, object]) -> Any:
        import asyncio

        if node.key in self._values:
            return self._values[node.key]
        async with self._making.setdefault(node.key, asyncio.Lock()):
            if node.key not in self._values:
                stack: Stack = []
                try:
                    self._values[node.key] = await open_on_loop(node, arguments, stack)
                except BaseException as error:
                    await close_on_loop(stack, error)
                    raise
                self._stack += stack
            return self._values[node.key]

    async def close(self) -> None:
        stack, self._stack, self._values = self._stack, [], {}
        while stack:
            try:
                await close_on_loop(stack)
            except BaseException:  # its loop is shared
                logger.exception("dependency %s failed at the end of the process", stack.pop().node.name)
