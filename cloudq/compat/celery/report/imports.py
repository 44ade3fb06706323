"""What a program imports of Celery and its neighbours, and what is in its place."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Final

from cloudq.compat.celery.verdicts import Entry, changes, maps, refused

_OURS: Final = "cloudq.compat.celery"
_MAPPED: Final = frozenset(
    {"celery", "celery.exceptions", "celery.result", "celery.canvas", "celery.states", "celery.utils.log"}
)
_CANVAS: Final = frozenset({"chain", "group", "chord", "chunks", "xmap", "xstarmap"})
_NO_CANVAS: Final = changes("it is there to be imported, and refused where it is called")
_SAME: Final = maps("the same name in cloudq.compat.celery")
_INSTEAD: Final[Mapping[str, Entry]] = {
    "celery.schedules": refused("a scheduler of the platform's, or cron with `cloudq send`, sends on time"),
    "celery.beat": refused("a scheduler of the platform's, or cron with `cloudq send`, sends on time"),
    "celery.signals": refused("middleware, app.on_start, app.on_stop, app.on_dead, and a task's hooks"),
    "celery._state.get_current_task": changes("from cloudq.compat.celery import current_task"),
    "celery.utils.uuid": refused("str(uuid.uuid4()): ids of messages are made by the send"),
    "celery.bootsteps": refused("app.on_start and app.on_stop, middleware"),
    "celery.contrib.testing": refused("cloudq.testing, or task_always_eager"),
    "celery.contrib.pytest": refused("cloudq.testing, or task_always_eager"),
    "celery.contrib.abortable": refused("cloudq.cancel_run(id), and context.cancelled in the task"),
    "celery.task": refused("Celery's own place of old: celery.shared_task"),
    "celery.app.control": refused("cloudq.cancel_run(id), `cloudq pause`, `cloudq top`"),
    "celery.app.task": changes("from cloudq.compat.celery import Task"),
    "celery.app.base": changes("from cloudq.compat.celery import Celery"),
    "celery.app.shared_task": changes("from cloudq.compat.celery import shared_task"),
    "celery.local": refused("inside of Celery's own"),
    "kombu": refused("there are no exchanges, and queues need no declaration"),
    "django_celery_beat": refused("a scheduler of the platform's, or cron with `cloudq send`, sends on time"),
    "django_celery_results": refused("a store: CLOUDQ_STORE_URL; cloudq.result(id)"),
    "celery_once": refused("unique_while_waiting, or an idempotency key"),
    "celery_singleton": refused("unique_while_waiting, or an idempotency key"),
    "redbeat": refused("a scheduler of the platform's, or cron with `cloudq send`, sends on time"),
    "tenant_schemas_celery": refused("middleware, and a header of the tenant"),
    "flower": refused("`cloudq top`, metrics"),
    "sentry_sdk.integrations.celery": refused("leave it out: a dead letter is an event anyway; see 'Errors in Sentry'"),
    "opentelemetry.instrumentation.celery": refused("cloudq.telemetry.instrument(app): see 'Traces and metrics'"),
}
_NO_PLACE: Final = refused("it has no counterpart")
_OTHERS: Final = ("sentry_sdk", "opentelemetry")  # of which only what is named above belongs to Celery
_ROOTS: Final = frozenset(name.partition(".")[0] for name in _INSTEAD) - {*_OTHERS}


def imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Entry]]:
    """What an import takes of Celery, by its full name, with what is in its place."""
    if isinstance(node, ast.Import):
        for name in node.names:
            if _is_concerned(name.name):
                yield name.name, _SAME if name.name in _MAPPED else _instead_of(name.name)
        return
    module = node.module or ""
    for name in node.names:
        full = f"{module}.{name.name}"
        if node.level or not _is_concerned(full):
            continue
        if module in _MAPPED and name.name in _CANVAS:
            yield full, _NO_CANVAS
        elif module in _MAPPED:
            yield full, _SAME if name.name == "*" or _is_there(module, name.name) else _instead_of(full)
        else:
            yield full, _instead_of(full)


def _is_concerned(name: str) -> bool:
    root = name.partition(".")[0]
    return root in _ROOTS or (root in _OTHERS and _instead_of(name) is not _NO_PLACE)


def _is_there(module: str, name: str) -> bool:
    ours = import_module(module.replace("celery", _OURS, 1))
    if hasattr(ours, name):
        return True
    return f"{module}.{name}" in _MAPPED


def _instead_of(name: str) -> Entry:
    """By the longest part of the name that is known."""
    while name:
        if name in _INSTEAD:
            return _INSTEAD[name]
        name = name.rpartition(".")[0]
    return _NO_PLACE
