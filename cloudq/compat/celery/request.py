"""`Request`: what a task sees as `self.request`, and which task runs here."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from cloudq.compat.celery.contracts import Runnable
from cloudq.compat.celery.limits import HARD, SOFT, Limits, declared, of_run
from cloudq.tasks.context import Context

RETRIES: Final = "celery-retries"
ROOT: Final = "celery-root-id"
PARENT: Final = "celery-parent-id"
_OURS: Final = (RETRIES, ROOT, PARENT, SOFT, HARD)


class Request:
    """What is known of a run. Its fields are those of Celery's `Context`; see `REQUEST_FIELDS`."""

    called_directly = True
    entered = False  # by a `__call__` of the task's own, on its way to `run`
    is_eager = False
    id: str | None = None
    task: str | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] | None = None
    retries = 0
    delivery_info: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    hostname: str | None = None
    eta: str | None = None
    expires: str | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    timelimit: tuple[float | None, float | None] | None = None
    ignore_result = False
    root_id: str | None = None
    parent_id: str | None = None
    correlation_id: str | None = None
    utc = True
    callbacks = errbacks = chain = chord = group = group_index = taskset = reply_to = shadow = None
    stamped_headers = stamps = logfile = loglevel = origin = None
    properties: Mapping[str, Any] | None = None
    replaced_task_nesting = 0

    def __init__(self, /, **fields: Any) -> None:  # whose names are a message's headers: `self` may be one of them
        vars(self).update(fields)

    def __repr__(self) -> str:
        """The task and the message; not the arguments, which may hold what no log should."""
        return f"<Request: {self.task}[{self.id}]>"

    def get(self, name: str, default: Any = None) -> Any:
        """The field of that name."""
        return getattr(self, name, default)


def of_delivery(task: Runnable, context: Context, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Request:
    """What is known of a worker's run."""
    message = context.message
    own = message.headers
    custom = {name: value for name, value in own.items() if name not in _OURS}
    group = message.ordering_key or message.fairness_key
    return Request(
        # As Celery has it, each is a field; what the request itself has goes before.
        **{name: value for name, value in custom.items() if not hasattr(Request, name)},
        called_directly=False,
        id=message.id,
        task=message.task,
        args=args,
        kwargs=dict(kwargs),
        retries=context.attempt - 1 + _count(own.get(RETRIES)),
        delivery_info={
            "exchange": "",
            "routing_key": message.queue,
            "priority": None,
            "redelivered": context.deliveries > 1,
        },
        headers=custom or None,
        properties={"correlation_id": message.id} | ({} if group is None else {"MessageGroupId": group}),
        hostname=platform.node(),
        eta=None if message.not_before is None else message.not_before.isoformat(),
        expires=None if message.expires_at is None else message.expires_at.isoformat(),
        root_id=own.get(ROOT, message.id),
        parent_id=own.get(PARENT),
        correlation_id=message.id,
        **_limits(task, own),
    )


def of_eager(task: Runnable, id_: str, kwargs: Mapping[str, Any], retries: int, headers: Mapping[str, str]) -> Request:
    """What is known of a run that the caller waits for."""
    parent = current_request()
    return Request(
        called_directly=False,
        is_eager=True,
        id=id_,
        task=task.name,
        kwargs=dict(kwargs),
        retries=retries,
        delivery_info={"is_eager": True, "exchange": None, "routing_key": None, "priority": None},
        headers=dict(headers) or None,
        hostname=platform.node(),
        root_id=id_ if parent is None or parent.id is None else parent.root_id,
        parent_id=None if parent is None else parent.id,
        correlation_id=id_,
        **_limits(task, headers),
    )


def limits_of(task: Runnable, headers: Mapping[str, str]) -> Limits:
    """Those of a run whose message has these headers."""
    return of_run(declared(task, task.app.conf), headers)


def _limits(task: Runnable, headers: Mapping[str, str]) -> dict[str, Any]:
    soft, hard = (None if limit is None else limit.total_seconds() for limit in limits_of(task, headers))
    return {
        "time_limit": hard,
        "soft_time_limit": soft,
        "timelimit": None if hard is None and soft is None else (hard, soft),
        "ignore_result": bool(task.ignore_result),
    }


def _count(text: str | None) -> int:
    """A producer can write the header, so it is held to what is written here."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else 0


def push(task: Runnable, request: Request) -> None:
    """Makes it the task's run here until `pop`: for tests that call `run` themselves."""
    _running.set((*_running.get(), (task, request)))


def pop(task: Runnable) -> Request | None:
    """Ends the latest run of a task here that was pushed, and gives it."""
    entries = _running.get()
    place = next((n for n in reversed(range(len(entries))) if entries[n][0] is task), None)
    if place is None:
        return None
    _running.set((*entries[:place], *entries[place + 1 :]))
    return entries[place][1]


_running: ContextVar[tuple[tuple[Runnable, Request], ...]] = ContextVar("cloudq_celery_running", default=())


@contextmanager
def running(task: Runnable, request: Request) -> Iterator[None]:
    """Has a run be what the task and the code here see, within the block."""
    before = _running.get()
    _running.set((*before, (task, request)))
    try:
        yield
    finally:
        _running.set(before)


def current_task() -> Runnable | None:
    """The task that runs here, if one does."""
    entries = _running.get()
    return entries[-1][0] if entries else None


def current_request() -> Request | None:
    """The run that this is in, if it is in one that isn't a direct call."""
    return next((request for _, request in reversed(_running.get()) if not request.called_directly), None)


def request_of(task: Runnable) -> Request:
    """The latest run of a task here; that of a direct call if there is none."""
    return next((request for one, request in reversed(_running.get()) if one is task), Request())


def lineage() -> dict[str, str]:
    """The headers that tell what a message is sent by."""
    request = current_request()
    if request is None or request.id is None:
        return {}
    return {ROOT: request.root_id or request.id, PARENT: request.id}
