"""Celery's exceptions, as far as tasks raise or catch them."""

from __future__ import annotations

from datetime import datetime

from cloudq.errors import TimeLimitExceeded

SoftTimeLimitExceeded = TimeLimitExceeded
"""What a time limit raises within the task: the same class, so that a task which catches it catches cloudq's."""


class CeleryError(Exception):
    """The base of all of these."""


class ImproperlyConfigured(CeleryError):
    """A program's own: nothing here raises it."""


class TaskPredicate(CeleryError):
    """Raised by a task to say what becomes of it."""


class Retry(TaskPredicate):
    """The task is to run again: `raise self.retry(...)`. One that a task raises itself is held to `max_retries`, too.

    Args:
        message: Why, for a person.
        exc: What went wrong, if anything did; raised in its place once the task has run again as often as it may.
        when: Seconds from now, or a moment; `None` leaves it to `default_retry_delay`.
        is_eager: Whether the run is an eager one.
        granted: Whether `self.retry` made it, which has looked at how often the task may run again.
    """

    def __init__(
        self,
        message: str | None = None,
        exc: BaseException | None = None,
        when: float | datetime | None = None,
        is_eager: bool = False,
        *,
        granted: bool = False,
    ) -> None:
        super().__init__(message or ("Task can be retried" if exc is None else f"{type(exc).__name__}: {exc}"))
        self.message = str(self.args[0])
        self.exc = exc
        self.when = when
        self.is_eager = is_eager
        self.granted = granted


class Ignore(TaskPredicate):
    """The message is done, and nothing is kept of it."""


class Reject(TaskPredicate):
    """The message goes to the dead-letter queue, or back to its queue.

    Args:
        reason: Why, for a person.
        requeue: Whether it goes back to its queue, which counts as an attempt: after 85 of them it is dead, or after as
            many as `max_retries` allows, if that is more.
    """

    def __init__(self, reason: object = None, requeue: bool = False) -> None:
        super().__init__(reason, requeue)
        self.reason = reason
        self.requeue = requeue


class TaskError(CeleryError):
    """A task went wrong."""


class NotRegistered(KeyError, TaskError):
    """The app has no task of that name."""


class MaxRetriesExceededError(TaskError):
    """The task was to run again, and has been as often as it may.

    Args:
        *args: The text.
        task_args: The arguments of the call.
        task_kwargs: The same by name.
    """

    def __init__(self, *args: object, task_args: object = (), task_kwargs: object = None) -> None:
        super().__init__(*args)
        self.task_args = task_args
        self.task_kwargs = {} if task_kwargs is None else task_kwargs


class TaskRevokedError(TaskError):
    """The task didn't run: it was cancelled, or had expired."""


class TimeoutError(TaskError):  # noqa: A001 - Celery's name
    """No result was there in time."""
