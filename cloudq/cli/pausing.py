"""`cloudq pause` and `cloudq resume`."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from cloudq.cli.choosing import one_queue
from cloudq.cli.choosing_store import StoreOption
from cloudq.cli.options import Backend, Debug, Json, NamedApp, Queue
from cloudq.cli.output import note, write, write_json
from cloudq.core.driver import Driver, QueueInspector
from cloudq.core.spans import shown
from cloudq.errors import CloudqError
from cloudq.queues.cloud_queue import CloudQueue

PAUSE_EXAMPLES = (
    "cloudq pause emails",
    "cloudq pause emails --backend sqs://eu-west-1 --store dynamodb://cloudq --json",
)
RESUME_EXAMPLES = ("cloudq resume emails", "cloudq resume emails --app shop.tasks --json")


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """For how long messages wait in a queue.

    Attributes:
        retention: How long the service keeps one that nobody settles; `None`: without end, or it isn't known.
        unknown: Why it isn't known, if it isn't.
        oldest_lost: When the oldest ready one is lost, if that is known.
        next_lost: When one that is sent now is lost.
    """

    retention: timedelta | None = None
    unknown: str | None = None
    oldest_lost: datetime | None = None
    next_lost: datetime | None = None


def pause(
    queue: Queue,
    *,
    app: NamedApp = None,
    backend: Backend = None,
    store: StoreOption = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Have nothing of a queue handed over to any worker until it is resumed. Sends are stored as usual.

    What runs goes on. The time goes on as well for what waits: it is said when the service begins to lose messages.

    A backend that can't pause by itself (Amazon SQS) takes a store, the one that its workers have.
    """
    with one_queue(queue, app, backend, stores=True) as (chosen, one):
        if store is not None:
            chosen.app.runtime.stores.given = store
        news = chosen.app.pause(one.name)
        kept = _kept(one, chosen.app.driver(), chosen.app.clock.now())
    if kept.unknown is not None:
        note(f"note: {kept.unknown}")
    if json:
        write_json(
            {
                "queue": one.name,
                "paused": True,
                "changed": news,
                "retention_seconds": None if kept.retention is None else kept.retention.total_seconds(),
                "oldest_lost": kept.oldest_lost,
                "next_lost": kept.next_lost,
            }
        )
        return
    write(f"queue {one.name!r} is paused" if news else f"queue {one.name!r} was paused already")
    if kept.retention is not None and kept.next_lost is not None:
        write(
            f"messages are kept for {shown(kept.retention)}: one that is sent now is lost at {_moment(kept.next_lost)}"
        )
        if kept.oldest_lost is not None:
            write(f"the oldest that waits is lost at {_moment(kept.oldest_lost)}")


def resume(
    queue: Queue,
    *,
    app: NamedApp = None,
    backend: Backend = None,
    store: StoreOption = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Have the messages of a paused queue handed over again."""
    with one_queue(queue, app, backend) as (chosen, one):
        if store is not None:
            chosen.app.runtime.stores.given = store
        news = chosen.app.resume(one.name)
    if json:
        write_json({"queue": one.name, "paused": False, "changed": news})
    else:
        write(f"queue {one.name!r} is resumed" if news else f"queue {one.name!r} wasn't paused")


def _kept(queue: CloudQueue, driver: Driver, now: datetime) -> Kept:
    """What the service says, as far as this caller may ask."""
    retention, age = queue.capabilities.retention, None
    if isinstance(driver, QueueInspector):  # what is usual with a service says nothing of this queue
        try:
            settings = driver.queue_settings(queue.name)
        except CloudqError as error:
            return Kept(unknown=f"for how long messages are kept could not be asked: {error.message}")
        if settings is None:
            return Kept(unknown=f"there is no queue {queue.name!r} at the backend yet")
        retention = settings.retention
    if retention is None:
        return Kept()
    with suppress(CloudqError):
        age = queue.stats().oldest_age
    oldest = None if age is None else now + max(timedelta(0), retention - age)
    return Kept(retention=retention, oldest_lost=oldest, next_lost=now + retention)


def _moment(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="minutes").replace("+00:00", " UTC")
