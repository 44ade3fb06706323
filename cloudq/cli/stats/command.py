"""`cloudq stats`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import msgspec

from cloudq.cli.choosing import Chosen, any_app, queues_of
from cloudq.cli.counted import counted_by
from cloudq.cli.options import Backend, Debug, Json, NamedApp, duration, queue_name
from cloudq.cli.outbox.commands import age, status_as_json
from cloudq.cli.outbox.place import configured_url, reading, shown_url
from cloudq.cli.output import note, table, write_json
from cloudq.cli.parameters import Option
from cloudq.cli.pause_state import PauseState, pause_of
from cloudq.cli.stats.flow import NO_COUNTS, Assumed, Flow, Look, flow
from cloudq.cli.worker_pages import worker_address
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.inspection import QueueStats

if TYPE_CHECKING:
    from cloudq.app import App
    from cloudq.outbox.rows import OutboxStatus

EXAMPLES: Final = (
    "cloudq stats",
    "cloudq stats --queue emails --queue reports --json",
    "cloudq stats --queue emails --over 30s --worker 10.0.0.7:9090 --worker 10.0.0.8:9090 --target-age 1m",
    "cloudq stats --queue emails --target-age 1m --task-time 0.8s --concurrency 10",
)


class QueueFound(msgspec.Struct, frozen=True, kw_only=True):
    """One queue, looked at.

    Attributes:
        now: How it stands.
        pause: Whether it is paused.
        flow: What the looks say of its rates.
    """

    now: Look
    pause: PauseState
    flow: Flow


def stats(
    *,
    queue: Annotated[
        list[str] | None,
        Option("--queue", metavar="NAME", help="Repeatable. Default: every queue that the tasks declare."),
    ] = None,
    over: Annotated[
        str | None, Option("--over", metavar="SECONDS", help="Look twice, this long apart, and show rates.")
    ] = None,
    worker: Annotated[
        list[str] | None,
        Option(
            "--worker",
            metavar="HOST:PORT",
            help="Repeatable: where a worker serves its metrics (its --metrics-port). Name all that serve the queues.",
        ),
    ] = None,
    target_age: Annotated[
        str | None,
        Option("--target-age", metavar="SECONDS", help="Say how many workers would let no message wait for longer."),
    ] = None,
    task_time: Annotated[
        str | None,
        Option("--task-time", metavar="SECONDS", help="How long a task takes. Default: what the workers have counted."),
    ] = None,
    concurrency: Annotated[
        int | None,
        Option("--concurrency", metavar="N", min=1, help="Tasks at once in a worker. Default: what the workers say."),
    ] = None,
    workers: Annotated[
        int | None, Option("--workers", metavar="N", min=0, help="How many there are. Default: those of --worker.")
    ] = None,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Show how full the queues are: ready, delayed, in flight, dead, the age of the oldest ready one; and pauses.

    With --over and --worker also how many messages a second arrive and leave; with --target-age how many workers that
    asks for. What can't be known is shown as a dash, and said why.

    Where CLOUDQ_OUTBOX_URL names an outbox, also what waits there, and the age of the oldest: the relay's lag.
    """
    named = [queue_name(name) for name in queue or []]
    pause = None if over is None else duration("--over", over, positive=True)
    assumed = Assumed(
        target_age=None if target_age is None else duration("--target-age", target_age, positive=True),
        task_time=None if task_time is None else duration("--task-time", task_time, positive=True),
        slots=concurrency,
        workers=workers,
    )
    addresses = [worker_address(text, serving="metrics", option="--metrics-port") for text in worker or []]
    with any_app(app, backend, wanted=not named) as chosen:
        found = _look(chosen, queues_of(chosen, named), list(dict.fromkeys(addresses)), pause, assumed)
        outbox = None if (url := configured_url()) is None else _outbox(chosen.app, url)
    if json:
        for name, one in found.items():
            write_json({"queue": name, **_as_json(one)})
        if outbox is not None:
            write_json({"outbox": shown_url(url or ""), **status_as_json(outbox)})
        return
    _show(found)
    if pause is not None or addresses or assumed != Assumed():
        _show_flow(found, assumed)
    if outbox is not None:
        table(("outbox", "waiting", "parked", "oldest"), [("", outbox.waiting, outbox.parked, age(outbox.oldest))])


def _look(
    chosen: Chosen, names: Sequence[str], workers: Sequence[str], over: timedelta | None, assumed: Assumed
) -> dict[str, QueueFound]:
    before = None
    if over is not None:
        before = _looks(chosen.app, names, workers)
        time.sleep(over.total_seconds())
    now = _looks(chosen.app, names, workers)
    return {
        name: QueueFound(
            now=now[name],
            pause=pause_of(chosen.app, name),
            flow=flow(name, None if before is None else before[name], now[name], assumed),
        )
        for name in names
    }


def _looks(app: App, names: Sequence[str], workers: Sequence[str]) -> dict[str, Look]:
    counts = [counted_by(address) for address in workers]
    return {name: Look(stats=app.queue(name).stats(), at=SYSTEM_CLOCK.elapsed(), workers=counts) for name in names}


def _show(found: Mapping[str, QueueFound]) -> None:
    rows = []
    for name, one in found.items():
        full = one.now.stats
        rows.append((name, full.ready, full.delayed, full.in_flight, full.dead, age(full.oldest_age), one.pause.paused))
        if one.pause.failed:
            note(f"note: whether queue {name!r} is paused isn't known: {one.pause.why}")
    table(("queue", "ready", "delayed", "in flight", "dead", "oldest", "paused"), rows)


def _show_flow(found: Mapping[str, QueueFound], assumed: Assumed) -> None:
    columns = ("queue", "arrival/s", "service/s", "growth/s", "workers", "backlog a worker", "recommended workers")
    rows = []
    said: dict[str, None] = {}
    for name, one in found.items():
        rates = one.flow
        rows.append(
            (
                name,
                _number(rates.arrival_rate),
                _number(rates.service_rate),
                _number(rates.growth_rate, signed=True),
                rates.workers,
                _number(rates.backlog_per_worker),
                rates.recommended_workers,
            )
        )
        for what, why in rates.unknown.items():
            if what != "recommended_workers" or assumed.target_age is not None:
                said[f"note: {name}: no {what.replace('_', ' ')}: {why}"] = None
    table(columns, rows)
    if said:
        note(*said)


def _as_json(one: QueueFound) -> dict[str, object]:
    full, rates = one.now.stats, one.flow
    unknown = {**_uncounted(full), **rates.unknown}
    if one.pause.why is not None:
        unknown["paused"] = one.pause.why
    return {
        "ready": full.ready,
        "delayed": full.delayed,
        "in_flight": full.in_flight,
        "dead": full.dead,
        "oldest_age_seconds": None if full.oldest_age is None else full.oldest_age.total_seconds(),
        "paused": one.pause.paused,
        "arrival_rate": rates.arrival_rate,
        "service_rate": rates.service_rate,
        "growth_rate": rates.growth_rate,
        "workers": rates.workers,
        "backlog_per_worker": rates.backlog_per_worker,
        "recommended_workers": rates.recommended_workers,
        "unknown": unknown,
    }


def _uncounted(full: QueueStats) -> dict[str, str]:
    """Why the backend's own figures are missing that are: see `QueueStats`."""
    if full.ready is None:
        return dict.fromkeys(("ready", "delayed", "in_flight", "oldest_age_seconds"), NO_COUNTS)
    missing = {
        "delayed": (full.delayed is None, NO_COUNTS),
        "in_flight": (full.in_flight is None, "the backend counts them among those that are ready"),
        "oldest_age_seconds": (full.ready > 0 and full.oldest_age is None, "the backend doesn't say"),
        "dead": (full.dead is None, "the backend doesn't say, or there is no dead-letter queue"),
    }
    return {name: why for name, (is_missing, why) in missing.items() if is_missing}


def _number(value: float | None, *, signed: bool = False) -> str | None:
    return None if value is None else f"{value:{'+' if signed else ''}.1f}"


def _outbox(app: App, url: str) -> OutboxStatus:
    """How the app's outbox stands: what waits there is in none of the queues yet."""
    with reading(app, url, None) as reader:
        return reader.status()[0]
