"""The store of idempotency keys and the outbox: whether they can be used, and how far behind they are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from cloudq.app import App
from cloudq.cli.doctor.catalogue import FAULTS
from cloudq.cli.doctor.fault import Finding, Where
from cloudq.cli.outbox.place import reading, shown_url
from cloudq.core.store_url import parse_store_url
from cloudq.errors import CloudqError
from cloudq.queues.store_connection import NATIVE_ONLY

LATE: Final = timedelta(minutes=1)
"""How long the oldest message of an outbox may wait: a relay that runs looks several times a second."""


def look_at_store(app: App) -> Iterator[Finding]:
    """Whether the store can be opened, where tasks need one. Opening a server's only looks at it."""
    if not (app.runtime.keyed_tasks() or app.runtime.noted_tasks()):
        return
    try:
        url = app.runtime.stores.url
        if url in {None, NATIVE_ONLY} or parse_store_url(str(url)).scheme == "sqlite":
            return  # the worker refuses to start without one; a file is made, or brought up to date, at its first use
        app.runtime.stores.store  # noqa: B018 - opens it, and so looks at it
    except CloudqError as error:
        yield _found("store-unusable", Where.STORE, error)


def look_at_outbox(app: App, url: str) -> Iterator[Finding]:
    """Whether the outbox can be read, and what waits there."""
    try:
        with reading(app, url, None) as reader:
            statuses = reader.status()
    except CloudqError as error:
        yield _found("outbox-unusable", Where.OUTBOX, error)
        return
    for status in statuses:
        of = f"of {status.namespace!r} in {shown_url(url)}"
        if status.oldest is not None and status.oldest > LATE:
            seconds = round(status.oldest.total_seconds())
            words = f"the oldest message {of} has waited for {seconds} seconds, and {status.waiting} wait"
            yield Finding(fault=FAULTS["outbox-late"], where=Where.OUTBOX, what=words)
        if status.parked:
            words = f"{status.parked} messages {of} are parked, and hold back {status.held_back} others"
            yield Finding(fault=FAULTS["outbox-parked"], where=Where.OUTBOX, what=words)


def _found(fault: str, where: Where, error: CloudqError) -> Finding:
    return Finding(
        fault=FAULTS[fault],
        where=where,
        what=error.message,
        names={"right": error.hint or f"see `cloudq explain {error.code}`"},
    )
