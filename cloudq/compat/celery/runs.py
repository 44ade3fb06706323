"""Running a task: in a worker, or at once for its caller. Celery's hooks and exceptions, in cloudq's words."""

from __future__ import annotations

import traceback as tracebacks
from collections.abc import Callable, Mapping
from datetime import datetime
from inspect import Parameter, Signature, signature
from typing import Any, Final
from uuid import uuid4

from cloudq.compat.celery import states
from cloudq.compat.celery.contracts import Runnable
from cloudq.compat.celery.exceptions import Ignore, Reject, Retry, TaskPredicate
from cloudq.compat.celery.limits import Limits, begin
from cloudq.compat.celery.request import limits_of, of_delivery, of_eager, request_of, running
from cloudq.compat.celery.result import EagerResult
from cloudq.compat.celery.retrying import asked, backoff, seconds
from cloudq.core import policy
from cloudq.core.safe_log import SafeLogger
from cloudq.core.shield import Ended
from cloudq.errors import TimeLimitExceeded, TransactionAborted
from cloudq.running.limit_stages import warned_after
from cloudq.tasks.context import Context

logger = SafeLogger("cloudq.compat.celery")
# Of the leading parameter, which no task of a program's own has.
_CONTEXT: Final = "_cloudq_context"


def function_of(task: Runnable) -> Callable[..., Any]:
    """What a worker calls in the place of a task's function: with its context, and the same parameters."""

    def run(context: Context, /, *args: Any, **kwargs: Any) -> Any:
        limits = limits_of(task, context.message.headers)
        begin(limits)
        with running(task, of_delivery(task, context, args, kwargs)):
            return _run(task, context, limits, args, kwargs)

    own = task.function
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(run, name, getattr(own, name))
    parameters = list(signature(own).parameters.values())[1 if task.bound else 0 :]
    leading = Parameter(_CONTEXT, Parameter.POSITIONAL_ONLY, annotation=Context)
    run.__wrapped__ = own  # type: ignore[attr-defined]  # where annotations are looked up
    run.__signature__ = Signature([leading, *parameters])  # type: ignore[attr-defined]  # what binding goes by
    return run


def _run(task: Runnable, context: Context, limits: Limits, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    told = (context.id, args, kwargs)
    try:
        _hook(task, "before_start", *told)
        with warned_after(limits.warning):
            value = attempt(task, args, kwargs)
    except Retry as retry:
        _hook(task, "on_retry", retry.exc or retry, *told, None)
        _hook(task, "after_return", states.RETRY, retry, *told, None)
        raise asked(retry, task.app.cloudq.clock.now()) from retry
    except (policy.Retry, TransactionAborted) as again:
        _hook(task, "on_retry", again, *told, None)
        _hook(task, "after_return", states.RETRY, again, *told, None)
        raise
    except Ignore:
        return None
    except Reject as rejected:
        if rejected.requeue:
            raise policy.Retry(f"rejected: {rejected.reason}") from rejected
        raise policy.DeadLetter(f"rejected: {rejected.reason}") from rejected
    except (Exception, Ended) as raised:
        error = raised if isinstance(raised, Exception) else TimeLimitExceeded(str(raised))
        text = "".join(tracebacks.format_exception(raised))
        _hook(task, "on_failure", error, *told, text)
        _hook(task, "after_return", states.FAILURE, error, *told, text)
        raise
    _hook(task, "on_success", value, *told)
    _hook(task, "after_return", states.SUCCESS, value, *told, None)
    return value


def attempt(task: Runnable, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """One call of a task's function; what its `autoretry_for` names asks for another.

    Raises:
        Retry: It is to run again.
        Exception: What the function raised.
    """
    try:
        return task(*args, **kwargs) if task.has_its_own_call else task.run(*args, **kwargs)
    except Retry as retry:
        if retry.granted:
            raise
        raise _held_to_its_bound(task, retry) from retry
    except (TaskPredicate, *policy.OWN_DECISION):
        raise
    except tuple(task.dont_autoretry_for):
        raise
    except tuple(task.autoretry_for) as error:
        given = dict(task.retry_kwargs)
        if task.retry_backoff:
            given["countdown"] = backoff(
                request_of(task).retries,
                factor=seconds("retry_backoff", task.retry_backoff).total_seconds(),
                most=int(seconds("retry_backoff_max", task.retry_backoff_max).total_seconds()),
                jitter=bool(task.retry_jitter),
            )
        raise task.retry(exc=error, **given) from error


def _held_to_its_bound(task: Runnable, retry: Retry) -> Retry:
    """The same `Retry` as `self.retry` makes it, which looks at how often the task may run again.

    Raises:
        Exception: It may not.
    """
    when = {} if retry.when is None else {"eta" if isinstance(retry.when, datetime) else "countdown": retry.when}
    try:
        raise task.retry(exc=retry.exc, **when)
    except Retry as granted:
        granted.message = retry.message
        return granted


def run_at_once(
    task: Runnable,
    kwargs: Mapping[str, Any],
    *,
    throw: bool,
    retries: int = 0,
    headers: Mapping[str, str] | None = None,
) -> EagerResult:
    """Runs a task for its caller, again as often as it asks for that. No time is waited in between, as with Celery.

    Args:
        task: The task.
        kwargs: Its arguments by name, as a worker would read them.
        throw: Whether a failure is raised.
        retries: What the number of retries begins with.
        headers: The call's.

    Raises:
        Retry: It is to run again, if failures are to be raised.
        Exception: What the task failed with, if that is to be raised.
    """
    id_ = str(uuid4())
    args, named = task.bound_arguments(kwargs)
    while True:
        with running(task, of_eager(task, id_, kwargs, retries, headers or {})):
            told = (id_, args, named)
            try:
                _hook(task, "before_start", *told)
                value = attempt(task, args, named)
            except Retry as retry:
                _hook(task, "on_retry", retry.exc or retry, *told, None)
                if throw:
                    raise  # as Celery does: then a test sees that it was asked for
                retries += 1
                continue
            except Ignore:
                return EagerResult(id_, None, states.IGNORED, traceback=None, name=task.name, retries=retries)
            except Reject as rejected:
                return EagerResult(id_, rejected, states.REJECTED, traceback=None, name=task.name, retries=retries)
            except Exception as error:
                text = "".join(tracebacks.format_exception(error))
                _hook(task, "on_failure", error, *told, text)
                _hook(task, "after_return", states.FAILURE, error, *told, text)
                if throw:
                    raise
                return EagerResult(id_, error, states.FAILURE, traceback=text, name=task.name, retries=retries)
            _hook(task, "on_success", value, *told)
            _hook(task, "after_return", states.SUCCESS, value, *told, None)
            return EagerResult(id_, value, states.SUCCESS, traceback=None, name=task.name, retries=retries)


def _hook(task: Runnable, name: str, *args: Any) -> None:
    """A hook of the task's, whose error is logged: what became of the task stays."""
    try:
        getattr(task, name)(*args)
    except Exception:
        logger.exception("%s of %s failed", name, task.name)
