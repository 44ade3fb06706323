"""`cloudq purge`."""

from __future__ import annotations

from typing import Final

from cloudq.cli.choosing import one_queue
from cloudq.cli.options import Backend, Debug, Json, NamedApp, Queue, Yes
from cloudq.cli.output import confirm_or_exit, write, write_json
from cloudq.core.url import parse_url
from cloudq.errors import PermissionDenied
from cloudq.queues.cloud_queue import CloudQueue

EXAMPLES: Final = ("cloudq purge emails", "cloudq purge emails --yes --backend sqlite:///cloudq.db")


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
