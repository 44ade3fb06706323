"""Until when the present call of a driver's method has to end, for all that it calls on its way.

The SDK hands no deadline on to what opens its connections, shows its tokens and waits for its links. So the deadline
goes with the thread, and whatever reads from a socket asks for it here. It is in real time, as sockets know no other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Final, Generic, TypeVar

from azure.servicebus.exceptions import ServiceBusError

from cloudq.core.clock import SYSTEM_CLOCK

T = TypeVar("T")

# For what is read where nobody named a deadline.
DEFAULT: Final = timedelta(seconds=5)
# No wait is shorter than this: to a socket 0 means "don't block", which is another way of reading.
_LEAST: Final = timedelta(milliseconds=1)


class NoAnswerInTime(ServiceBusError, TimeoutError):
    """This thread's call has no time left.

    One of the SDK's own errors too, since the SDK hands it on: any other it logs with its traceback, as unexpected.
    """

    def __init__(self) -> None:
        super().__init__(message="no answer came in time")


class _OfThread(threading.local):
    until: timedelta | None = None


_of_thread: Final = _OfThread()


@contextmanager
def within(span: timedelta) -> Iterator[None]:
    """Calls in the block end within `span`, or earlier where a block around it says so."""
    with until(SYSTEM_CLOCK.elapsed() + span):
        yield


@contextmanager
def until(moment: timedelta | None) -> Iterator[None]:
    """Calls in the block end by that moment: for a thread that carries out another's call."""
    before = _of_thread.until
    _of_thread.until = moment if before is None or (moment is not None and moment < before) else before
    try:
        yield
    finally:
        _of_thread.until = before


def current() -> timedelta | None:
    """The moment by which this thread's call has to end, to be handed to `until`; `None` if there is none."""
    return _of_thread.until


def left(otherwise: timedelta = DEFAULT) -> timedelta:
    """How much time this thread's call has left.

    Raises:
        NoAnswerInTime: None.
    """
    if _of_thread.until is None:
        return otherwise
    span = _of_thread.until - SYSTEM_CLOCK.elapsed()
    if span <= timedelta(0):
        raise NoAnswerInTime
    return max(span, _LEAST)


def passed() -> bool:
    """Whether this thread's call should have ended by now."""
    return _of_thread.until is not None and SYSTEM_CLOCK.elapsed() >= _of_thread.until


class Errand(Generic[T]):
    """A call that takes no deadline, such as looking up a name: made by a thread that may be left behind.

    One runs at a time. An answer that comes too late goes to those who have asked in the meantime.

    Args:
        name: What the thread is for.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._under_way: Future[T] | None = None  # guarded by the lock

    @property
    def under_way(self) -> bool:
        """Whether a thread is at it."""
        return self._under_way is not None

    def run(self, call: Callable[[], T]) -> T:
        """What the call returns or raises, by this thread's deadline.

        Raises:
            TimeoutError: It takes longer.
        """
        with self._lock:
            asked, begin = self._under_way, self._under_way is None
            if asked is None:
                asked = self._under_way = Future()
        if begin:
            work = partial(self._work, call, asked)
            try:
                threading.Thread(target=work, name=f"cloudq-service-bus-{self._name}", daemon=True).start()
            except RuntimeError:  # no more threads can be started
                work()
        return asked.result(left().total_seconds())

    def _work(self, call: Callable[[], T], asked: Future[T]) -> None:
        try:
            answer = call()
        except BaseException as error:  # noqa: BLE001 - raised in those that wait for it
            asked.set_exception(error)
        else:
            asked.set_result(answer)
        finally:
            with self._lock:
                self._under_way = None
