"""`Retry`: how often a job that fails runs again, said at its enqueue, as in RQ; and what keeps to it in the worker."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from cloudq.core.cancellation import is_being_cancelled, is_never_cancelled, is_the_tasks_own
from cloudq.core.policy import OWN_DECISION, DeadLetter, RetryPolicy
from cloudq.core.policy import Retry as Again
from cloudq.errors import OptionError, WorkerDied
from cloudq.tasks.context import maybe_current
from cloudq.tasks.unrun import is_async

if TYPE_CHECKING:
    from tenacity import RetryCallState

HEADER: Final = "rq-retry"
"""It travels as a header of the message: `3;10,30,60`, three times, after that many seconds."""

MOST: Final = 50
LONGEST: Final = timedelta(days=366)
_FORM: Final = re.compile(r"(\d{1,2});(\d{1,8}(?:,\d{1,8}){0,49})", re.ASCII)


class Retry:
    """How often a job runs again, and after how long: RQ's `Retry(max=3, interval=[10, 30, 60])`.

    Given to an enqueue, it is for runs that raise. A job that returns one runs again too, and is no failure by that.

    Args:
        max: How often, from 1 to 50.
        interval: After how many seconds, at most 366 days: a number, or one for each time, of which the last one is
            for the last time. Where there are fewer, the first one is repeated; `return Retry(...)` repeats the last.

    Raises:
        OptionError: One is out of its bounds.
    """

    def __init__(self, max: int, interval: int | Iterable[int] = 0, *, enqueue_at_front: bool = False) -> None:  # noqa: A002 - RQ's word
        intervals = [interval] if isinstance(interval, int) else list(interval) or [0]
        if not isinstance(max, int) or not 1 <= max <= MOST:
            raise OptionError(f"max of Retry is a number from 1 to {MOST}, not {max!r}", hint="Retry(max=3)")
        if len(intervals) > MOST or not all(_is_interval(seconds) for seconds in intervals):
            raise OptionError(
                f"interval of Retry is up to {MOST} whole numbers of seconds from 0, each at most 366 days",
                hint="interval=[10, 30, 60]",
            )
        if enqueue_at_front:
            raise OptionError(
                "enqueue_at_front of Retry can't be honoured: hosted queues have no front", hint="leave it out"
            )
        self.max = max
        self.intervals = intervals

    def header(self) -> str:
        """The form in which it travels."""
        return f"{self.max};{','.join(map(str, self.intervals))}"

    def after(self, attempt: int) -> timedelta | None:
        """After how long a job runs again whose run of that number, from 1, has raised; `None`: it doesn't.

        The intervals are counted from the end, as in RQ 3.0: the last one is for the last time.
        """
        place = len(self.intervals) - 1 - self.max + attempt
        return None if attempt > self.max else timedelta(seconds=self.intervals[max(place, 0)])

    def after_returned(self, attempt: int) -> timedelta | None:
        """The same of a run that has returned it: counted from the first one, as RQ does there."""
        place = min(attempt, len(self.intervals)) - 1
        return None if attempt > self.max else timedelta(seconds=self.intervals[place])


def _is_interval(seconds: object) -> bool:
    return type(seconds) is int and 0 <= seconds <= LONGEST.total_seconds()


def read(header: str | None) -> Retry | None:
    """What a message says; `None` where it says nothing, or what this never writes: it is a stranger's text."""
    found = _FORM.fullmatch(header) if header is not None else None
    if found is None:
        return None
    try:
        return Retry(int(found[1]), [int(seconds) for seconds in found[2].split(",")])
    except OptionError:
        return None


def _died(state: RetryCallState) -> bool:
    return state.outcome is not None and isinstance(state.outcome.exception(), WorkerDied)


def _died_too_often(state: RetryCallState) -> bool:
    # What asks for itself has bounds of its own. A policy knows of no message, so this one is above any `Retry`'s.
    return _died(state) and state.attempt_number > MOST


POLICY: Final = RetryPolicy(retry=_died, stop=_died_too_often)
"""A job that fails is dead at once, as in RQ, unless it was enqueued with a `Retry`: that is raised as ours. One whose
process died goes to another worker, until it has run 51 times."""


def retried(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with the signature that it has, which asks to be run again as its message says, or it itself."""
    if is_async(function):

        @functools.wraps(function)
        async def arun(*args: Any, **kwargs: Any) -> Any:
            try:
                returned = await function(*args, **kwargs)
            except BaseException as error:
                _ask_again(error, cancelled=is_being_cancelled())
                raise
            return _looked_at(returned)

        return arun

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            returned = function(*args, **kwargs)
        except BaseException as error:
            _ask_again(error, cancelled=is_never_cancelled())
            raise
        return _looked_at(returned)

    return run


def _ask_again(error: BaseException, *, cancelled: bool) -> None:
    """Raises what has the job run again; returns where it doesn't, or where the job said itself what becomes of it.

    As with RQ, a job that calls `sys.exit` has failed like any other. One that is cancelled from outside hasn't.
    """
    if not is_the_tasks_own(error, cancelled=cancelled):
        return
    context = maybe_current()
    asked = None if context is None else read(context.headers.get(HEADER))
    delay = None if context is None or asked is None else asked.after(context.attempt)
    if delay is not None and not isinstance(error, OWN_DECISION):
        raise Again(f"{type(error).__name__}: {error}", delay=delay) from error


def _looked_at(returned: Any) -> Any:
    """What the job returned, if that isn't a wish to run again."""
    context = maybe_current()
    if context is None or not isinstance(returned, Retry):
        return returned
    delay = returned.after_returned(context.attempt)
    if delay is None:
        raise DeadLetter(f"the job returned a Retry, and has run again as often as its max says: {returned.max}")
    raise Again("the job returned a Retry", delay=delay)
