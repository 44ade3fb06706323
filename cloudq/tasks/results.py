"""`Result`: what is known of a message, and `Results`, which reads it, and waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Condition
from typing import Any, Final, Literal, TypeAlias

import msgspec

from cloudq.core.clock import Clock
from cloudq.core.run_life import RunState
from cloudq.core.run_notes import CancelAnswer, RunNotes, SeenRun
from cloudq.core.spans import shown
from cloudq.core.store import Store
from cloudq.errors import NoResult, OptionError, PayloadError, ResultTimeout, StoreUnavailable, UnsupportedError
from cloudq.tasks.async_libraries import check_awaitable, in_a_thread, pause
from cloudq.tasks.definition import Definition
from cloudq.tasks.result_type import plain_result

Status: TypeAlias = Literal[
    "unknown", "waiting", "running", "retried", "succeeded", "dead_lettered", "expired", "cancelled"
]
"""How far a message has come, or how its latest run ended: `retried` will be tried again, `expired` never began."""

_STATUS: Final[Mapping[RunState, Status]] = {
    RunState.WAITING: "waiting",
    RunState.RUNNING: "running",
    RunState.RETRIED: "retried",
    RunState.SUCCEEDED: "succeeded",
    RunState.DEAD_LETTERED: "dead_lettered",
    RunState.EXPIRED: "expired",
    RunState.CANCELLED: "cancelled",
}
_FIRST_PAUSE: Final = timedelta(milliseconds=50)
_LONGEST_PAUSE: Final = timedelta(seconds=1)
_ZERO: Final = timedelta(0)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a message and its task's result.

    Attributes:
        id: The message's id.
        status: How far it has come; `unknown` if nothing is noted of it: its task keeps no results, it wasn't sent with
            `track=True` and hasn't begun, it is another store's, or was kept for long enough.
        task: The task's name, or `None`.
        value: What the task returned, of its declared type; JSON's own values where the task isn't declared here or
            declares another type by now. `None` unless `kept`.
        kept: Whether the result is there.
        reason: Why it failed or expired; of what succeeded, why its result isn't kept.
        attempt: The number of its latest run, from 1; 0 before the first.
        done: How much of `total` is done, by `context.progress`; `None` if the task didn't say.
        total: How much there is to do, if the task said so.
        at: When that was noted, by the store's clock.
        unwanted: Whether somebody wants it cancelled.
        silent: Whether it runs by what is noted, but its worker hasn't been heard of for thirty seconds: it died, or
            can't reach the store. The backend hands the message over again once its lease is over.
    """

    id: str
    status: Status
    task: str | None = None
    value: Any = None
    kept: bool = False
    reason: str = ""
    attempt: int = 0
    done: float | None = None
    total: float | None = None
    at: datetime | None = None
    unwanted: bool = False
    silent: bool = False


class Results:
    """Reads what is noted of an app's messages.

    Args:
        store: Gives the app's store; `None` if it has none.
        definition: Gives the task of a name or alias that is declared here, or `None`.
        clock: Gives what waits are measured by.
    """

    def __init__(
        self,
        store: Callable[[], Store | None],
        definition: Callable[[str], Definition | None],
        clock: Callable[[], Clock],
    ) -> None:
        self._store = store
        self._definition = definition
        self._clock = clock
        self._unattended: str | None = None

    @contextmanager
    def unattended(self, hint: str | None) -> Iterator[None]:
        """Within the block nobody runs anything: a wait for what isn't done raises at once. For tests.

        Args:
            hint: What has it run; `None` within another such block: somebody runs it, after all.
        """
        before, self._unattended = self._unattended, hint
        try:
            yield
        finally:
            self._unattended = before

    def notes(self, what: str = "results") -> RunNotes:
        """Where runs are noted.

        Args:
            what: What is wanted of them, for the message.

        Raises:
            UnsupportedError: The app has no store.
            ConfigurationError: Its URL can't be used.
            BackendError: It can't be opened.
        """
        return RunNotes(self.store(what).notes)

    def store(self, what: str) -> Store:
        """The app's store.

        Raises:
            UnsupportedError: There is none.
        """
        store = self._store()
        if store is None:
            raise UnsupportedError(
                f"without a store there are no {what}", hint="App(store=...), or CLOUDQ_STORE_URL, here and at workers"
            )
        return store

    def look(self, id_: str) -> Result:
        """What is known of a message now.

        Raises:
            OptionError: It is no id.
            UnsupportedError: The app has no store.
            BackendError: The store can't be reached.
        """
        seen = self._seen(id_)
        if seen is None:
            return Result(id=id_, status="unknown")
        record = seen.record
        return Result(
            id=id_,
            status=_STATUS[record.state],
            task=record.task,
            value=None if record.result is None else self._read_anyway(record.task, record.result),
            kept=record.result is not None,
            reason=record.reason,
            attempt=record.attempt,
            done=record.done,
            total=record.total,
            at=seen.at,
            unwanted=record.unwanted and not record.state.is_final,
            silent=seen.is_silent,
        )

    def cancel(self, id_: str) -> CancelAnswer:
        """Notes that a message isn't wanted any more.

        Raises:
            OptionError: It is no id.
            UnsupportedError: The app has no store.
            BackendError: The store can't be reached: it may be noted or not.
        """
        return self.notes("runs to cancel").cancel(checked_id(id_))

    def value(self, id_: str, timeout: timedelta) -> Any:
        """Waits for a message's task to be done, and gives what it returned. See `Sent.result`."""
        wait = _Wait(self._clock(), timeout)
        while True:
            hint = self._unattended  # as it was before the look
            seen, failed = self._try(id_)
            if self._is_over(seen):
                return self._value_of(id_, seen)
            _refuse_unattended(id_, seen, hint)
            span = wait.next_pause(id_, seen, failed)
            condition = Condition()
            with condition:
                self._clock().wait(condition, span)

    async def avalue(self, id_: str, timeout: timedelta) -> Any:
        """As `value`, for async code."""
        check_awaitable("aresult")
        wait = _Wait(self._clock(), timeout)
        while True:
            hint = self._unattended
            seen, failed = await in_a_thread(self._try, id_)
            if self._is_over(seen):
                return self._value_of(id_, seen)
            _refuse_unattended(id_, seen, hint)
            await pause(wait.next_pause(id_, seen, failed))

    def _seen(self, id_: str) -> SeenRun | None:
        return self.notes().look(checked_id(id_))

    def _try(self, id_: str) -> tuple[SeenRun | None, StoreUnavailable | None]:
        """A look, of many: a store that fails for a moment doesn't end the wait."""
        try:
            return self._seen(id_), None
        except StoreUnavailable as error:
            return None, error

    @staticmethod
    def _is_over(seen: SeenRun | None) -> bool:
        return seen is not None and seen.record.state.is_final

    def _value_of(self, id_: str, seen: SeenRun | None) -> Any:
        if seen is None:
            raise LookupError(id_)  # it is over, so it was seen
        record = seen.record
        if record.state is not RunState.SUCCEEDED:
            why = f": {record.reason}" if record.reason else ""
            raise NoResult(f"task {record.task} has no result, it is {record.state.value}{why}", record.state.value)
        if record.result is None:
            raise NoResult(
                f"task {record.task} succeeded: {record.reason or 'it keeps no results'}",
                "succeeded",
                hint=None if record.reason else "@task(keep_result=timedelta(hours=1))",
            )
        return self._read(record.task, record.result)

    def _read_anyway(self, task: str, text: bytes) -> Any:
        try:
            return self._read(task, text)
        except PayloadError:
            return plain_result(text)

    def _read(self, task: str, text: bytes) -> Any:
        definition = self._definition(task)
        return plain_result(text) if definition is None else definition.result_type.read(text)


def _refuse_unattended(id_: str, seen: SeenRun | None, hint: str | None) -> None:
    if hint is not None:
        status = "unknown" if seen is None else seen.record.state.value
        raise ResultTimeout(
            f"message {id_} isn't done, and nothing runs here by itself: it is {status}", status, hint=hint
        )


class _Wait:
    """The pauses of a wait: short at first, for tasks that take no time."""

    def __init__(self, clock: Clock, timeout: timedelta) -> None:
        if not isinstance(timeout, timedelta) or timeout < _ZERO:
            raise OptionError(f"timeout is a timedelta, not {timeout!r}", hint="timeout=timedelta(seconds=30)")
        self._clock = clock
        self._timeout = timeout
        self._began = clock.elapsed()
        self._pause = _FIRST_PAUSE

    def next_pause(self, id_: str, seen: SeenRun | None, failed: StoreUnavailable | None) -> timedelta:
        """How long until the next look.

        Raises:
            ResultTimeout: The time is over.
            StoreUnavailable: The time is over, and the store failed at the end.
        """
        left = self._began + self._timeout - self._clock.elapsed()
        if left <= _ZERO:
            if failed is not None:
                raise failed
            status = "unknown" if seen is None else seen.record.state.value
            raise ResultTimeout(
                f"message {id_} isn't done after {shown(self._timeout)}: it is {status}",
                status,
                hint=_UNKNOWN if seen is None else "it goes on: wait again, or look later with cloudq.result(id)",
            )
        span, self._pause = min(self._pause, left), min(2 * self._pause, _LONGEST_PAUSE)
        return span


_UNKNOWN: Final = (
    "it waits, or nothing notes it: declare the task with keep_result, and let workers have the same store"
)


def checked_id(id_: object) -> str:
    """A message's id.

    Raises:
        OptionError: It isn't one.
    """
    if not isinstance(id_, str) or not id_:
        raise OptionError(f"a message's id is a text, not {id_!r}", hint="sent.id")
    return id_
