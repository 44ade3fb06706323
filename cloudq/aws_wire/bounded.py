"""How long a call may take: this thread's deadline. A call that takes none is made by a thread that may be left behind.

The SDK's read timeout begins anew with each part of an answer, and looking up a host's name or fetching credentials has
no timeout of ours at all. So each call has a deadline, which the connections of this driver keep (`connections`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from time import monotonic
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar
from weakref import ReferenceType, ref

from cloudq.core.threads import Threads

T = TypeVar("T")


class _Here(threading.local):
    """The innermost deadline of this thread's, or `None` where nobody set one."""

    within: ReferenceType[Within] | None = None


_here: Final = _Here()
# What can't be given up is left behind in one of these: a lookup whose server is silent, say.
_threads: Final = Threads("cloudq-aws", 8, idle=timedelta(seconds=5))


class Within:
    """`with Within(span)`: the calls that this thread makes in it end within `span`, or with an outer one's end.

    A signal's handler may raise where `__exit__` begins, which then doesn't run. The thread only refers to its
    deadline: one that was left in that way goes with its block and the exception, and bounds no later call.

    Args:
        span: How long they may take together.

    Attributes:
        end: When they end, on `time.monotonic`.
    """

    __slots__ = ("__weakref__", "_before", "_seconds", "end")

    def __init__(self, span: timedelta) -> None:
        self._seconds = span.total_seconds()
        self._before: ReferenceType[Within] | None = None
        self.end = 0.0

    def __enter__(self) -> Self:
        before = self._before = _here.within
        outer = None if before is None else before()
        end = monotonic() + self._seconds
        self.end = end if outer is None or end < outer.end else outer.end
        _here.within = ref(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _here.within = self._before


def left() -> float | None:
    """The seconds that this thread's call may still take, negative if it is late; `None` if nobody bounds it."""
    refers = _here.within
    within = None if refers is None else refers()
    return None if within is None else within.end - monotonic()


class SharedCall(Generic[T]):
    """A call that can't be bounded itself, made once at a time: who wants its result meanwhile waits for that one.

    Args:
        function: What to call, in a thread of its own.
    """

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._flight: Future[T] | None = None

    def result(self, seconds: float) -> T:
        """What the call returns, or raises.

        Raises:
            TimeoutError: It took longer than `seconds`. It goes on, and the next one who asks may get its result.
        """
        with self._lock:
            flight = self._flight
            if flight is None or flight.done():
                flight = Future()
                job = _Job(self._function, flight)
                if not _threads.submit(job) and _threads.withdraw(job):
                    job()  # no thread can be started: late is better than never
                self._flight = flight  # now that somebody makes it: who is interrupted before leaves none to wait for
        return flight.result(max(0.0, seconds))


class _Job:
    """Makes the call and keeps its result."""

    def __init__(self, function: Callable[[], Any], flight: Future[Any]) -> None:
        self._function = function
        self._flight = flight

    def __call__(self) -> None:
        try:
            result = self._function()
        except BaseException as error:  # noqa: BLE001 - raised in those that wait
            self._flight.set_exception(error)
        else:
            self._flight.set_result(result)
