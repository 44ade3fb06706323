"""`cloudq pause` and `cloudq resume`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from cloudq.app import App
from cloudq.cli.choosing import one_queue
from cloudq.cli.choosing_store import StoreOption
from cloudq.cli.lambda_mappings import Mapping, Mappings
from cloudq.cli.options import Backend, Debug, Json, NamedApp, Queue
from cloudq.cli.output import note, write, write_json
from cloudq.cli.parameters import Option
from cloudq.core.driver import Driver, QueueInspector
from cloudq.core.pausing import Pauser
from cloudq.core.spans import shown
from cloudq.core.url import parse_url
from cloudq.errors import CloudqError
from cloudq.queues.cloud_queue import CloudQueue

PAUSE_EXAMPLES = (
    "cloudq pause emails",
    "cloudq pause emails --backend sqs://eu-west-1 --store dynamodb://cloudq --json",
    "cloudq pause emails --backend sqs://eu-west-1 --lambda-mapping all",
)
RESUME_EXAMPLES = (
    "cloudq resume emails",
    "cloudq resume emails --app shop.tasks --json",
    "cloudq resume emails --backend sqs://eu-west-1 --lambda-mapping 91f8c3a2-5d0e-4c1b-8f0a-3c2b1a0d9e8f",
)

LambdaMapping = Annotated[
    list[str] | None,
    Option(
        "--lambda-mapping",
        metavar="UUID|all",
        help="Also this event source mapping of the queue, or all: Lambda runs nothing of it. Repeatable. "
        "Default: none is touched.",
    ),
]


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
    lambda_mapping: LambdaMapping = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Have nothing of a queue handed over to any worker until it is resumed. Sends are stored as usual.

    What runs goes on. The time goes on as well for what waits: it is said when the service begins to lose messages.

    A backend that can't pause by itself (Amazon SQS) takes a store, the one that its workers have. Lambda doesn't look
    there: its event source mapping is disabled where you say so.
    """
    with one_queue(queue, app, backend, stores=True) as (chosen, one):
        if store is not None:
            chosen.app.runtime.stores.given = store
        with _mappings(chosen.app, one.name, lambda_mapping) as switched:
            workers = not switched.chosen or _pauses(chosen.app)
            news = workers and chosen.app.pause(one.name)
            switched.switch(on=False)
        kept = _kept(one, chosen.app.driver(), chosen.app.clock.now())
        if lambda_mapping is None and parse_url(chosen.app.url).scheme == "sqs":
            note("note: a Lambda function isn't stopped by this: --lambda-mapping all disables the queue's mappings")
    if not workers:
        note("note: there is no store, so workers that poll aren't paused, only Lambda")
    if kept.unknown is not None:
        note(f"note: {kept.unknown}")
    if json:
        write_json(
            {
                "queue": one.name,
                "paused": True,
                "changed": news or switched.changed,
                "retention_seconds": None if kept.retention is None else kept.retention.total_seconds(),
                "oldest_lost": kept.oldest_lost,
                "next_lost": kept.next_lost,
                **switched.as_json(),
            }
        )
        return
    if workers:
        write(f"queue {one.name!r} is paused" if news else f"queue {one.name!r} was paused already")
    switched.show()
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
    lambda_mapping: LambdaMapping = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Have the messages of a paused queue handed over again."""
    with one_queue(queue, app, backend) as (chosen, one):
        if store is not None:
            chosen.app.runtime.stores.given = store
        with _mappings(chosen.app, one.name, lambda_mapping) as switched:
            workers = not switched.chosen or _pauses(chosen.app)
            news = workers and chosen.app.resume(one.name)
            switched.switch(on=True)
    if json:
        changed = news or switched.changed
        write_json({"queue": one.name, "paused": False, "changed": changed, **switched.as_json()})
        return
    if workers:
        write(f"queue {one.name!r} is resumed" if news else f"queue {one.name!r} wasn't paused")
    switched.show()


class _Switched:
    """The mappings that were asked for, before and after."""

    def __init__(self, mappings: Mappings | None, chosen: list[Mapping]) -> None:
        self.chosen = chosen
        self._mappings = mappings
        self._after: list[Mapping] = []

    @property
    def changed(self) -> bool:
        return self._after != self.chosen

    def switch(self, *, on: bool) -> None:
        if self._mappings is not None:
            self._after = [self._mappings.switch(mapping, on=on) for mapping in self.chosen]

    def as_json(self) -> dict[str, object]:
        return {"lambda_mappings": self._after} if self._after else {}

    def show(self) -> None:
        for before, after in zip(self.chosen, self._after, strict=True):
            was = " already" if before == after else ""
            write(f"Lambda mapping {after.uuid} of function {after.function}: {after.state}{was}")


@contextmanager
def _mappings(app: App, queue: str, uuids: list[str] | None) -> Iterator[_Switched]:
    """Those that were asked for: found before anything is paused, so that a wrong name changes nothing."""
    if not uuids:
        yield _Switched(None, [])
        return
    mappings = Mappings.of(app, queue)
    try:
        yield _Switched(mappings, mappings.chosen(uuids))
    finally:
        mappings.close()


def _pauses(app: App) -> bool:
    """Whether workers can be paused: by the backend, or by a flag in the store."""
    return isinstance(app.driver(), Pauser) or app.runtime.store is not None


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
