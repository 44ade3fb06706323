"""`cloudq stats` and `cloudq purge`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cloudq.cli.choosing import any_app, one_queue, queues_of
from cloudq.cli.options import Backend, Debug, Json, NamedApp, Queue, Yes, queue_name
from cloudq.cli.outbox.commands import age, status_as_json
from cloudq.cli.outbox.place import configured_url, reading, shown_url
from cloudq.cli.output import confirm_or_exit, table, write, write_json
from cloudq.cli.parameters import Option
from cloudq.core.driver import QueueStats
from cloudq.core.url import parse_url
from cloudq.errors import PermissionDenied
from cloudq.queues.cloud_queue import CloudQueue

if TYPE_CHECKING:
    from cloudq.app import App
    from cloudq.outbox.rows import OutboxStatus

STATS_EXAMPLES = ("cloudq stats", "cloudq stats --queue emails --queue reports", "cloudq stats --json")
PURGE_EXAMPLES = ("cloudq purge emails", "cloudq purge emails --yes --backend sqlite:///cloudq.db")


def stats(
    *,
    queue: Annotated[
        list[str] | None,
        Option("--queue", metavar="NAME", help="Repeatable. Default: every queue that the tasks declare."),
    ] = None,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Show how full the queues are: ready, delayed, in flight, dead, and the age of the oldest that is ready.

    Where CLOUDQ_OUTBOX_URL names an outbox, also what waits there, and the age of the oldest: the relay's lag.
    """
    named = [queue_name(name) for name in queue or []]
    with any_app(app, backend, wanted=not named) as chosen:
        found = {name: chosen.app.queue(name).stats() for name in queues_of(chosen, named)}
        outbox = None if (url := configured_url()) is None else _outbox(chosen.app, url)
    if json:
        for name, full in found.items():
            write_json({"queue": name, **_as_json(full)})
        if outbox is not None:
            write_json({"outbox": shown_url(url or ""), **status_as_json(outbox)})
        return
    rows = [
        (name, full.ready, full.delayed, full.in_flight, full.dead, age(full.oldest_age))
        for name, full in found.items()
    ]
    table(("queue", "ready", "delayed", "in flight", "dead", "oldest"), rows)
    if outbox is not None:
        table(("outbox", "waiting", "parked", "oldest"), [("", outbox.waiting, outbox.parked, age(outbox.oldest))])


def purge(
    queue: Queue,
    *,
    yes: Yes = False,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Delete all messages of a queue, those that are being worked on too, but none of its dead letters."""
    with one_queue(queue, app, backend) as (chosen, one):
        name, where = one.name, parse_url(chosen.app.url)
        if not yes:  # else they needn't be counted
            confirm_or_exit(f"Delete {_how_many(one)} messages of queue {name!r} in {where} for good?", yes=False)
        deleted = one.purge()
    if json:
        write_json({"queue": name, "deleted": deleted})
    else:
        write(f"deleted {'an unknown number of' if deleted is None else f'{deleted:,}'} messages of queue {name!r}")


def _how_many(queue: CloudQueue) -> str:
    """What to say before asking; a user who may purge may not have the right to count."""
    try:
        before = queue.stats()
    except PermissionDenied:
        return "an unknown number of"
    counts = [count for count in (before.ready, before.delayed, before.in_flight) if count is not None]
    return f"{sum(counts):,}" if counts else "an unknown number of"


def _as_json(full: QueueStats) -> dict[str, object]:
    return {
        "ready": full.ready,
        "delayed": full.delayed,
        "in_flight": full.in_flight,
        "dead": full.dead,
        "oldest_age_seconds": None if full.oldest_age is None else full.oldest_age.total_seconds(),
    }


def _outbox(app: App, url: str) -> OutboxStatus:
    """How the app's outbox stands: what waits there is in none of the queues yet."""
    with reading(app, url, None) as reader:
        return reader.status()[0]
