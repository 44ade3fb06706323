"""`Hooks`: functions of the program that are called at the start and the end of a process, and for each dead letter."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import msgspec

from cloudq.core.delivery import Delivery
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered
from cloudq.core.safe_log import SafeLogger, is_ctrl_c
from cloudq.errors import ConfigurationError
from cloudq.tasks.unrun import is_async

logger = SafeLogger("cloudq")


class DeadDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is about to be kept in the dead-letter queue.

    Attributes:
        id: The message's id.
        queue: The queue that it was in.
        task: The task's name, or `None` if the message can't be read.
        message: The message, or `None` if it can't be read; without its payload where that is kept elsewhere.
        attempt: The number of the run that was its last.
        reason: Why, for a person.
        failure: The details that are kept with it: the exception's type and text, the traceback's end, the counts.
    """

    id: str
    queue: str
    task: str | None
    message: Message | None
    attempt: int
    reason: str
    failure: Failure


Hook: TypeAlias = Callable[[], object]
DeadHook: TypeAlias = Callable[[DeadDelivery], object]
FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


def _nothing() -> None:
    pass


class Hooks:
    """The functions of one app. Thread-safe.

    Args:
        ended: Called before those of `on_stop`: closes what tasks have opened since the start. Raises nothing.
    """

    def __init__(self, ended: Hook = _nothing) -> None:
        self._ended = ended
        self._lock = threading.RLock()
        # Guarded by the lock.
        self._start: list[Hook] = []
        self._stop: list[Hook] = []
        self._pid = 0  # in which process they were called: a fork has its own start
        self._edges = 0  # that have started there, and not stopped
        # Only ever replaced, and read without the lock.
        self._dead: tuple[DeadHook, ...] = ()

    def on_start(self, function: Hook) -> None:
        """Declares one to call before a process runs its first task.

        Raises:
            ConfigurationError: It isn't a plain function.
        """
        self._start.append(_plain(function, "on_start"))

    def on_stop(self, function: Hook) -> None:
        """Declares one to call once a process has run its last task. Raises as `on_start`."""
        self._stop.append(_plain(function, "on_stop"))

    def on_dead(self, function: DeadHook) -> None:
        """Declares one to call for each dead letter. Raises as `on_start`."""
        self._dead = (*self._dead, _plain(function, "on_dead"))

    def start(self) -> None:
        """An edge of this process is about to run tasks: at the first one the functions are called, as declared.

        Raises:
            BaseException: What one of them raised, which is logged; the next call begins anew. A `SystemExit` is never
                one of success. Where others had been called before it, what these opened is closed: those of `on_stop`
                are called.
        """
        with self._lock:
            if self._pid != os.getpid():
                self._pid, self._edges = os.getpid(), 0
            if not self._edges:
                self._begin_all()
            self._edges += 1

    def _begin_all(self) -> None:
        for place, function in enumerate(self._start):
            try:
                _begin(function)
            except BaseException:
                if place:  # nobody knows which of on_stop belongs to which of on_start
                    self._end_all()
                raise

    def stop(self) -> None:
        """An edge that has started runs no more tasks: at the last one the functions are called, the latest first.

        What one of them raises is logged, and keeps no other from being called.
        """
        with self._lock:
            if self._pid != os.getpid() or not self._edges:
                return
            self._edges -= 1
            if self._edges:
                return
            self._ended()
            self._end_all()

    def _end_all(self) -> None:
        for function in reversed(self._stop):
            try:
                function()
            except BaseException as error:
                if is_ctrl_c(error):
                    raise
                logger.exception("on_stop: %s failed", _name(function))

    def tell_dead(self, delivery: Delivery, outcome: DeadLettered) -> None:
        """A delivery is about to be dead-lettered. What a function raises is logged, and changes nothing."""
        if not self._dead:
            return
        message = delivery.message
        dead = DeadDelivery(
            id=delivery.id,
            queue=delivery.queue,
            task=None if message is None else message.task,
            message=message,
            attempt=delivery.attempt,
            reason=outcome.reason,
            failure=outcome.failure,
        )
        for function in self._dead:
            try:
                function(dead)
            except BaseException as error:
                if is_ctrl_c(error):
                    raise
                logger.exception("on_dead: %s failed", _name(function))


class Process:
    """One edge's part in the start and the end of its process: a second call of either does nothing.

    Args:
        hooks: The functions.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self._started_in = 0

    def start(self) -> None:
        """As `Hooks.start`."""
        if self._started_in != os.getpid():
            self._hooks.start()
            self._started_in = os.getpid()

    def stop(self) -> None:
        """As `Hooks.stop`, if it has started in this process."""
        if self._started_in == os.getpid():
            self._started_in = 0
            self._hooks.stop()


def _plain(function: FunctionT, where: str) -> FunctionT:
    if not callable(function):
        raise ConfigurationError(f"{where} takes a function, not {function!r}", hint=f"@app.{where}, above a def")
    if is_async(function):
        raise ConfigurationError(
            f"{where}: {_name(function)} is a coroutine function, which nothing would await",
            hint="use def; asyncio.run() within it runs async code",
        )
    return function


def _begin(function: Hook) -> None:
    try:
        function()
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        logger.exception("on_start: %s failed", _name(function))
        if isinstance(error, SystemExit) and not error.code:
            raise SystemExit(1) from error  # a process that never took work hasn't done it
        raise


def _name(function: object) -> str:
    return getattr(function, "__qualname__", repr(function))
