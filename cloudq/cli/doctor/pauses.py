"""Whether somebody has paused a queue by `cloudq pause`, where no setting of its service shows that."""

from __future__ import annotations

from collections.abc import Iterator

from cloudq.app import App
from cloudq.cli.doctor.catalogue import FAULTS
from cloudq.cli.doctor.fault import Finding, Unchecked, Where
from cloudq.cli.doctor.queue_law import WHERES, Looked
from cloudq.core.pausing import Pauser
from cloudq.core.store_url import parse_store_url
from cloudq.errors import CloudqError
from cloudq.queues.store_connection import NATIVE_ONLY


def paused(app: App, queue: str, looked: Looked | None) -> Iterator[Finding | Unchecked]:
    """By the backend itself, or by a flag in the store, where there is one.

    Args:
        app: On the backend.
        queue: The queue.
        looked: As it is set up, where its backend has settings: one that pauses by them has told so already.
    """
    by_backend = isinstance(app.driver(), Pauser)
    if (by_backend and looked is not None) or not (by_backend or _has_store(app)):
        return
    try:
        is_paused = app.is_paused(queue)
    except CloudqError as error:
        yield Unchecked(what=f"whether queue {queue!r} is paused", why=error.message)
        return
    if is_paused:
        where = Where.SQLITE if looked is None else WHERES[looked.cloud]
        what = "it is paused: nothing is handed over"
        yield Finding(fault=FAULTS["queue-stopped"], where=where, queue=queue, what=what, names={"queue": queue})


def _has_store(app: App) -> bool:
    """Whether there is a store to look at: a file isn't opened, since that makes or changes its tables."""
    url = app.runtime.stores.url
    return url not in {None, NATIVE_ONLY} and parse_store_url(str(url)).scheme != "sqlite"
