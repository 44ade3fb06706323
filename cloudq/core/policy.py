"""`RetryPolicy`: whether and when a failed task runs again, in tenacity's own vocabulary.

tenacity decides about a loop in memory; we decide about one failure at a time, and the backend keeps the time. So each
decision draws the strategies' answer from a synthetic `RetryCallState`: any `stop`, `wait` and `retry` strategy works,
the user's own too. tenacity is loaded at the first decision, not at import.
"""

from __future__ import annotations

import random
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

from cloudq.core.failure import Failure, words_of
from cloudq.core.outcome import DeadLettered, Outcome, Retried, Snoozed, Why
from cloudq.core.redaction import redacted
from cloudq.core.spans import shown
from cloudq.errors import TransactionAborted, TransactionBroken

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

    Stop = Callable[[RetryCallState], bool]
    Wait = Callable[[RetryCallState], float]
    ShouldRetry = Callable[[RetryCallState], bool]

DEFAULT_ATTEMPTS = 5
# A delivery isn't a run (semantics 8): this many more are allowed before a message counts as killing its worker.
DELIVERY_SLACK = 15
# The backstop where the stop strategy names no number of attempts.
DELIVERIES_WITHOUT_LIMIT = 100
LONGEST_DELAY = timedelta(days=366)
_REASON_CHARS = 1_000  # of a handler's own reason, which may hold anything


class Retry(Exception):
    """Raised by a handler to be run again.

    It counts as an attempt: the policy's `stop` still holds.

    Args:
        reason: Why, for a person; kept with the message.
        delay: After this long; `None` leaves it to the policy's `wait`.
    """

    def __init__(self, reason: str = "the task asked to be retried", *, delay: timedelta | None = None) -> None:
        if delay is not None and not isinstance(delay, timedelta):
            raise TypeError(f"delay is a timedelta, not {delay!r}: Retry(delay=timedelta(seconds=30))")
        if delay is not None and delay < timedelta(0):
            raise ValueError(f"delay is {shown(delay)}: it can't be negative")
        super().__init__(reason)
        self.reason = str(reason)
        self.delay = delay


class DeadLetter(Exception):
    """Raised by a handler whose message will never succeed: it goes to the dead-letter queue at once.

    Args:
        reason: Why, for a person; kept with the message.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = str(reason)


OWN_DECISION: Final = (Retry, DeadLetter, TransactionBroken, TransactionAborted)
"""Errors that say what becomes of their message: no policy has a word in it, nor has what stands in for one."""


class RetryPolicy:
    """What happens when a task raises: run again, when, or dead-letter. Immutable.

    Example:
        >>> from tenacity import retry_if_exception_type, stop_after_attempt, wait_fixed
        >>> RetryPolicy(
        ...     stop=stop_after_attempt(8),
        ...     wait=wait_fixed(30),
        ...     retry=retry_if_exception_type(ConnectionError),
        ... )
        RetryPolicy(stop=stop_after_attempt, wait=wait_fixed, retry=retry_if_exception_type)

    Args:
        stop: When to give up: any tenacity stop strategy. Attempts are runs; elapsed time is the message's age.
            Default: `stop_after_attempt(5)`.
        wait: How long to wait before the next run: any tenacity wait strategy, in seconds.
            Default: `wait_random_exponential(multiplier=2, min=1, max=900)`.
        retry: Which errors are worth another run: any tenacity retry strategy. Others are dead-lettered at once.
            Default: every `Exception`, and a cancellation from within the task.
        max_deliveries: The backstop for messages that kill their worker and so never get here: how often one may be
            handed over. At least 10 more than the attempts (a delivery isn't a run). Default: the attempts that
            `stop` names plus 15, or 100 if it names none.
    """

    def __init__(
        self,
        *,
        stop: Stop | None = None,
        wait: Wait | None = None,
        retry: ShouldRetry | None = None,
        max_deliveries: int | None = None,
    ) -> None:
        for name, strategy in (("stop", stop), ("wait", wait), ("retry", retry)):
            # A class is callable, but calling it makes a strategy (or an error) and decides nothing.
            if strategy is not None and (not callable(strategy) or isinstance(strategy, type)):
                hint = f"{name}={_meant(name, strategy)}"
                raise TypeError(f"{name} is {strategy!r}, not one of tenacity's {name} strategies; hint: {hint}")
        if max_deliveries is not None and max_deliveries < 1:
            raise ValueError(f"max_deliveries is {max_deliveries}: at least 1 is needed")
        self._given = (stop, wait, retry)
        self._max_deliveries = max_deliveries

    def __repr__(self) -> str:
        """The strategies by name."""
        names = ("stop", "wait", "retry")
        given = (
            f"{name}={type(value).__name__ if not hasattr(value, '__name__') else value.__name__}"
            for name, value in zip(names, self._given, strict=True)
            if value is not None
        )
        return f"RetryPolicy({', '.join(given)})"

    @cached_property
    def max_deliveries(self) -> int:
        """How often a message may be handed over before it counts as killing its worker."""
        if self._max_deliveries is not None:
            return self._max_deliveries
        stop = self._given[0]
        attempts = DEFAULT_ATTEMPTS if stop is None else _attempts_of(stop)
        return DELIVERIES_WITHOUT_LIMIT if attempts is None else max(attempts + DELIVERY_SLACK, DELIVERY_SLACK)

    def decide(self, error: BaseException, *, attempt: int, age: timedelta) -> Outcome:
        """What becomes of a delivery whose handler raised `error`.

        Args:
            error: What it raised. `Retry`, `DeadLetter`, and what became of a transaction decide for themselves.
            attempt: The number of the run that failed, from 1.
            age: How long ago the message was sent.
        """
        if isinstance(error, DeadLetter):
            reason = redacted(error.reason)[:_REASON_CHARS]
            return DeadLettered(reason=reason, failure=Failure.of(reason, error))
        if isinstance(error, TransactionBroken):
            return DeadLettered(reason=_shown(error), failure=Failure.of(_shown(error), error))
        if isinstance(error, TransactionAborted):
            # Those that were in each other's way don't come back at the same moment.
            return Snoozed(delay=_seconds(random.uniform(0.1, 2)), why=Why.CONFLICT, reason=_shown(error))  # noqa: S311
        state = self._state(error, attempt, age)
        stop, wait, retry = self._strategies
        shown = _shown(error)
        if not isinstance(error, Retry) and not retry(state):
            reason = f"not retried: {shown}"
            return DeadLettered(reason=reason, failure=Failure.of(reason, error))
        delay = error.delay if isinstance(error, Retry) and error.delay is not None else _seconds(wait(state))
        state.upcoming_sleep = delay.total_seconds()  # stop_before_delay asks for it
        if stop(state):
            reason = f"gave up after {attempt} attempt{'s' if attempt != 1 else ''}: {shown}"
            return DeadLettered(reason=reason, failure=Failure.of(reason, error))
        return Retried(delay=delay, reason=shown, failure=Failure.of(shown, error))

    @cached_property
    def _strategies(self) -> tuple[Stop, Wait, ShouldRetry]:
        from asyncio import CancelledError

        import tenacity

        stop, wait, retry = self._given
        return (
            tenacity.stop_after_attempt(DEFAULT_ATTEMPTS) if stop is None else stop,
            tenacity.wait_random_exponential(multiplier=2, min=1, max=900) if wait is None else wait,
            tenacity.retry_if_exception_type((Exception, CancelledError)) if retry is None else retry,
        )

    @staticmethod
    def _state(error: BaseException, attempt: int, age: timedelta) -> RetryCallState:
        from tenacity import Future, RetryCallState

        # No strategy of tenacity's asks for the loop (`retry_object`) or the function: there is neither.
        state = RetryCallState(retry_object=cast("Any", None), fn=None, args=(), kwargs={})
        state.attempt_number = attempt
        state.start_time = 0.0
        state.outcome_timestamp = max(0.0, age.total_seconds())
        state.outcome = Future(attempt)
        state.outcome.set_exception(error)
        return state


def policy_for(given: object) -> str:
    """How a policy is written that does what somebody gave in its place: a number of attempts, say."""
    number = isinstance(given, int) and not isinstance(given, bool)
    return f"cloudq.RetryPolicy(stop={_meant('stop', given)})" if number else "cloudq.RetryPolicy(...)"


def _meant(name: str, given: object) -> str:
    """The strategy that somebody most likely means who gave something else."""
    number = isinstance(given, (int, float)) and not isinstance(given, bool)
    if name == "stop":
        return f"stop_after_attempt({given})" if number and given else "stop_after_attempt(5)"
    if name == "wait":
        if isinstance(given, timedelta):
            return f"wait_fixed({given.total_seconds():g})"
        return f"wait_fixed({given})" if number else "wait_fixed(30)"
    kinds = given if isinstance(given, (tuple, list)) else [given]
    names = [kind.__name__ for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseException)]
    shown_kinds = ", ".join(names) or "ConnectionError"
    return f"retry_if_exception_type({f'({shown_kinds})' if len(names) > 1 else shown_kinds})"


def _attempts_of(stop: object) -> int | None:
    """The number of attempts after which a stop strategy stops for certain, or `None` if it names none."""
    from tenacity import stop_after_attempt, stop_all, stop_any

    if isinstance(stop, stop_after_attempt):
        number: object = stop.max_attempt_number  # infinity is possible, too
        return number if isinstance(number, int) else None
    if not isinstance(stop, (stop_any, stop_all)):
        return None
    parts = [_attempts_of(part) for part in stop.stops]
    named = [attempts for attempts in parts if attempts is not None]
    if isinstance(stop, stop_any):
        return min(named, default=None)
    return max(named, default=None) if len(named) == len(parts) else None  # every part must agree to stop


def _seconds(seconds: float) -> timedelta:
    # An exponential wait without a bound overflows a timedelta; a negative or NaN one is the user's slip.
    if not seconds > 0:
        return timedelta(0)
    return timedelta(seconds=float(min(seconds, LONGEST_DELAY.total_seconds())))


def _shown(error: BaseException) -> str:
    if isinstance(error, Retry):
        return redacted(error.reason)[:_REASON_CHARS]
    text = words_of(error).splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
