"""How often and when a task runs again: Celery's rules, as a policy of cloudq's."""

from __future__ import annotations

import random
from asyncio import CancelledError
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from cloudq import errors
from cloudq.compat.celery.exceptions import Retry
from cloudq.core import policy

if TYPE_CHECKING:
    from tenacity import RetryCallState

# How many runs a task may ask for, by whatever: fewer are counted by `self.retry`, which takes a number of its own in
# place of the declaration's; a rejected message that goes back, say, doesn't go by it.
_LEAST_RUNS: Final = 85
_UNLIMITED: Final = 1_000
_NOT_THE_TASKS: Final = (errors.WorkerDied, CancelledError)


class _Retried(Protocol):
    """A task, as far as its retries go."""

    max_retries: int | None
    default_retry_delay: float | timedelta | None
    autoretry_for: Sequence[type[Exception]]
    dont_autoretry_for: Sequence[type[Exception]]
    retry_kwargs: Mapping[str, Any]
    retry_backoff: bool | float
    retry_backoff_max: int


def policy_of(max_retries: int | None) -> policy.RetryPolicy:
    """A task's policy: it runs again when it asks for that, and when its worker died.

    How often it may ask is decided in `self.retry`, which knows of `max_retries` of its own; there is an end all the
    same. It counts runs, since a retry by a copy of the message begins its deliveries anew.

    Args:
        max_retries: The task's; `None` for no limit.
    """

    def stop(state: RetryCallState) -> bool:
        asked_for = isinstance(_error_of(state), policy.Retry)
        runs = most_runs(max_retries) if asked_for or max_retries is None else max_retries + 1
        return state.attempt_number >= runs

    return policy.RetryPolicy(stop=stop, retry=_is_not_the_tasks_fault, max_deliveries=most_deliveries(max_retries))


def most_runs(max_retries: int | None) -> int:
    """How often a message of a task may run, whatever asks for it."""
    return _UNLIMITED if max_retries is None else max(_LEAST_RUNS, max_retries + 1)


def most_deliveries(max_retries: int | None) -> int:
    """How often a message of a task may be handed over before it counts as killing its worker: above its runs."""
    return most_runs(max_retries) + policy.DELIVERY_SLACK


def most_retries(task: _Retried) -> int | None:
    """How often a task is retried at most: by its own `self.retry`, or by `autoretry_for`, which may go further."""
    automatic = task.retry_kwargs.get("max_retries")
    return task.max_retries if task.max_retries is None or automatic is None else max(task.max_retries, automatic)


def check_retries(where: str, task: _Retried) -> None:
    """Refuses what a retry would stumble over, in a run that had failed and could have been tried again.

    Args:
        where: Whose it is, for messages.
        task: The task.

    Raises:
        TaskDefinitionError: By the option's name.
    """
    for name in task.retry_kwargs:
        if name not in {"max_retries", "countdown"}:
            raise errors.TaskDefinitionError(
                f"{where}: {name!r} of Celery's option 'retry_kwargs' can't be honoured", hint="max_retries, countdown"
            )
    for name, most in (("max_retries", task.max_retries), ("retry_kwargs", task.retry_kwargs.get("max_retries"))):
        if most is not None and not isinstance(most, int):
            raise errors.TaskDefinitionError(f"{where}: {name} counts retries, not {most!r}", hint="max_retries=5")
    for name, kinds in (("autoretry_for", task.autoretry_for), ("dont_autoretry_for", task.dont_autoretry_for)):
        if not isinstance(kinds, Collection) or not all(_is_error(kind) for kind in kinds):
            raise errors.TaskDefinitionError(f"{where}: {name} names classes of errors", hint=f"{name}=(OSError,)")
    spans = {
        "default_retry_delay": task.default_retry_delay or 0,
        "retry_kwargs: countdown": task.retry_kwargs.get("countdown") or 0,
        "retry_backoff": task.retry_backoff or 0,
        "retry_backoff_max": task.retry_backoff_max,
    }
    for name, span in spans.items():
        try:
            seconds(name, span)
        except errors.OptionError as error:
            raise errors.TaskDefinitionError(f"{where}: {error.message}", hint="a number of seconds") from None


def _is_error(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)


def _is_not_the_tasks_fault(state: RetryCallState) -> bool:
    return isinstance(_error_of(state), _NOT_THE_TASKS)


def _error_of(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


def backoff(retries: int, *, factor: float, most: int, jitter: bool) -> int:
    """The seconds before the next run: doubled with each, up to `most`; with jitter anything from 0 to that."""
    span = int(min(most, max(1, int(factor)) * 2 ** min(retries, 64)))
    return random.randrange(span + 1) if jitter else span  # noqa: S311 - spreads load, guards nothing


def asked(retry: Retry, now: datetime) -> policy.Retry:
    """What a worker is asked for by a task's `Retry`."""
    when = retry.when
    if when is None:
        return policy.Retry(retry.message)
    delay = when - now if isinstance(when, datetime) else timedelta(seconds=float(when))
    return policy.Retry(retry.message, delay=max(delay, timedelta(0)))


def moment(value: Any, zone: Any) -> datetime:
    """A moment as Celery takes it: a datetime or its text; without an offset it is in the app's time zone.

    Raises:
        OptionError: It is none.
    """
    if isinstance(value, str):
        with suppress(ValueError):
            value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        raise errors.OptionError(f"{value!r} is no moment", hint="a datetime, or its text in ISO 8601")
    return value.replace(tzinfo=zone) if value.utcoffset() is None else value


def seconds(name: str, value: Any) -> timedelta:
    """A span as Celery takes it, in seconds.

    Raises:
        OptionError: It is none.
    """
    if isinstance(value, timedelta):
        return value
    try:
        return timedelta(seconds=float(value))
    except (TypeError, ValueError, OverflowError):
        raise errors.OptionError(f"{name} is a number of seconds, not {value!r}", hint=f"{name}=60") from None
