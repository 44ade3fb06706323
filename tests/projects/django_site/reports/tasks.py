"""Tasks of Django's own, as a project declares them."""

from typing import Any

from cloudq import Retry

try:
    from django.tasks import task
except ImportError:  # Django 5.2
    from django_tasks import task

ran: list[Any] = []


@task
def add(a: Any, b: Any = None) -> Any:
    """Notes what it was called with, and returns it."""
    ran.append([a, b])
    return [a, b]


@task
async def aadd(a: Any, b: Any = None) -> Any:
    """The same, for async code."""
    ran.append([a, b])
    return [a, b]


@task(takes_context=True, queue_name="default")
def told(context: Any) -> Any:
    """Fails once, then says what it was told."""
    result = context.task_result
    ran.append([context.attempt, result.id, list(result.worker_ids), str(result.status)])
    if context.attempt == 1:
        raise ValueError("not yet")
    return context.attempt


@task(takes_context=True)
async def atold(context: Any) -> Any:
    """The same, for async code."""
    return told.func(context)


@task
def fails() -> None:
    """Does as it says."""
    raise LookupError("never")


@task
async def afails() -> None:
    """The same, for async code."""
    raise LookupError("never")


@task
def odd() -> object:
    """Returns what isn't JSON."""
    ran.append("odd")
    return object()


STRANGE: dict[str, Any] = {"key": {None: 1}, "half": "\ud800"}


@task
def strange(which: str) -> Any:
    """Returns what Django takes for JSON, and no JSON can hold."""
    ran.append(which)
    return STRANGE[which]


@task
def says(text: str) -> None:
    """Fails with these words."""
    raise ValueError(text)


@task(takes_context=True)
def asks(context: Any) -> None:
    """Asks for another attempt, once."""
    if context.attempt == 1:
        raise Retry


not_a_task = print
renamed = add
