"""The store of idempotency keys and the outbox: whether they can be used, and how far behind they are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from cloudq.app import App
from cloudq.cli.doctor.catalogue import FAULTS
from cloudq.cli.doctor.fault import Finding, Unchecked, Where
from cloudq.cli.outbox.place import reading, shown_url
from cloudq.core.store_url import StoreUrl, parse_store_url
from cloudq.errors import CloudqError
from cloudq.queues.store_connection import NATIVE_ONLY

LATE: Final = timedelta(minutes=1)
"""How long the oldest message of an outbox may wait: a relay that runs looks several times a second."""
_EXPIRES: Final = "expires_at"


def look_at_store(app: App) -> Iterator[Finding | Unchecked]:
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
        return
    where = parse_store_url(str(url))
    if where.scheme == "dynamodb":
        yield from _time_to_live(where)


def _time_to_live(where: StoreUrl) -> Iterator[Finding | Unchecked]:
    """Whether a table of DynamoDB deletes what is over, by the attribute that the store writes."""
    from cloudq.stores.dynamodb.url import clients_of

    clients = clients_of(where, where.timeout())
    try:
        told = clients.get().describe_time_to_live(TableName=where.host)["TimeToLiveDescription"]
    except Exception as error:  # noqa: BLE001 - it may be denied, or down: whatever it is, it is said
        what = f"the time to live of table {where.host!r}"
        yield Unchecked(what=what, why=f"{type(error).__name__}: {error} (dynamodb:DescribeTimeToLive)")
        return
    finally:
        clients.close()
    status, attribute = told.get("TimeToLiveStatus"), told.get("AttributeName")
    if status not in {"ENABLED", "ENABLING"} or attribute != _EXPIRES:
        words = f"the time to live of table {where.host!r} is {status}" + (f", by {attribute!r}" if attribute else "")
        yield Finding(fault=FAULTS["store-grows"], where=Where.STORE, what=words, names={"name": where.host})


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
