"""`cloudq result`."""

from __future__ import annotations

from datetime import timedelta
from threading import Condition
from typing import Annotated, Final

import msgspec

from cloudq.cli.choosing_store import StoreOption, one_store
from cloudq.cli.options import Backend, Debug, Json, NamedApp, duration
from cloudq.cli.output import details, write_json
from cloudq.cli.parameters import Argument, Option
from cloudq.core.clock import Clock
from cloudq.tasks.results import Result, Results, checked_id

EXAMPLES = (
    "cloudq result 6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
    "cloudq result 6f9619ff-8b86-4d01-b42d-00cf4fc964ff --wait 30s --json --app shop.tasks",
    "cloudq result 6f9619ff-8b86-4d01-b42d-00cf4fc964ff --store redis://cache/0?prefix=prod",
)

_FINAL: Final = frozenset({"succeeded", "dead_lettered", "expired", "cancelled"})
_PAUSE: Final = timedelta(milliseconds=500)


def result(
    id_: Annotated[str, Argument(metavar="ID", help="The message's id: .id of the send.", show_default=False)],
    *,
    wait: Annotated[
        str | None,
        Option("--wait", metavar="30s|5m", help="Wait that long at most for its end, whatever it is."),
    ] = None,
    app: NamedApp = None,
    backend: Backend = None,
    store: StoreOption = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Show how far a message has come, and what its task returned. Exit code 1: it hasn't succeeded.

    The store knows the messages of tasks that are declared with `keep_result` or `track`, and those that were sent with
    `track`.
    """
    checked_id(id_)
    patience = None if wait is None else duration("--wait", wait)
    with one_store(store, app, backend) as opened:
        its, kept = opened.chosen.app, opened.store
        # Without the tasks: what is shown is JSON, whatever types they declare.
        found = _look(Results(lambda: kept, lambda _: None, lambda: its.clock), id_, patience, its.clock)
    if json:
        write_json(_fields(found))
    else:
        details(_lines(found))
    if found.status != "succeeded":
        raise SystemExit(1)


def _look(results: Results, id_: str, patience: timedelta | None, clock: Clock) -> Result:
    """What is known of it, in the end or when the patience is over."""
    ends = clock.elapsed() + (patience or timedelta(0))
    while True:
        found = results.look(id_)
        left = ends - clock.elapsed()
        if found.status in _FINAL or left <= timedelta(0):
            return found
        condition = Condition()
        with condition:
            clock.wait(condition, min(left, _PAUSE))


def _fields(found: Result) -> dict[str, object]:
    """For programs: all of it, the value only where it is kept."""
    fields = msgspec.structs.asdict(found)
    if not found.kept:
        del fields["value"]
    return fields


def _lines(found: Result) -> list[tuple[str, object]]:
    """For people: what there is to say."""
    lines: list[tuple[str, object]] = [("id", found.id), ("status", found.status)]
    if found.task is not None:
        lines.append(("task", found.task))
    if found.unwanted:
        lines.append(("cancelled", "its worker is to stop it"))
    if found.silent:
        lines.append(("worker", "silent for more than thirty seconds: dead, or it can't reach the store"))
    if found.attempt:
        lines.append(("attempt", found.attempt))
    if found.done is not None:
        lines.append(("progress", f"{found.done:g}" if found.total is None else f"{found.done:g} of {found.total:g}"))
    if found.reason:
        lines.append(("reason", found.reason))
    if found.at is not None:
        lines.append(("since", found.at.isoformat(timespec="seconds")))
    if found.kept:
        lines.append(("result", msgspec.json.encode(found.value, enc_hook=str).decode()))
    return lines
