"""`cloudq top`."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from typing import Annotated, Final

from cloudq.cli.choosing import Chosen, any_app, queues_of
from cloudq.cli.failures import UNREACHABLE
from cloudq.cli.options import Backend, Debug, Json, NamedApp, duration, queue_name
from cloudq.cli.output import console_of, is_terminal, note, table, write, write_json
from cloudq.cli.parameters import Option
from cloudq.cli.top.rates import Rates
from cloudq.cli.top.sample import Sample, Sampler
from cloudq.cli.top.view import as_json, drawn, sections
from cloudq.cli.top.workers import ask
from cloudq.cli.worker_pages import worker_address
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.url import parse_url

EXAMPLES: Final = (
    "cloudq top",
    "cloudq top --queue emails --worker 10.0.0.7:8080 --worker 10.0.0.8:8080",
    "cloudq top --every 30s --backend sqs://eu-west-1",
    "cloudq top --json > queues.jsonl",
)


def top(
    *,
    queue: Annotated[
        list[str] | None,
        Option("--queue", metavar="NAME", help="Repeatable. Default: every queue that the tasks declare."),
    ] = None,
    worker: Annotated[
        list[str] | None,
        Option(
            "--worker",
            metavar="HOST:PORT",
            help="Repeatable: where a worker serves its health pages (its --health), to show what it does.",
        ),
    ] = None,
    every: Annotated[
        str, Option("--every", metavar="SECONDS", help="How long to wait between two looks. Each calls the backend.")
    ] = "5",
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Show queues, workers and dead letters at a glance, again and again until Ctrl-C.

    Off a terminal, and with --json, it looks once. What can't be reached is shown as such, and asked again; a single
    look that reaches no queue exits with 3.

    Rates are what changed since the look before: by how much a queue's backlog grows (less than zero: shrinks), and
    what each worker that was named has ended and failed.
    """
    named = [queue_name(name) for name in queue or []]
    pause = duration("--every", every, positive=True)
    addresses = [worker_address(text) for text in worker or []]
    with any_app(app, backend, wanted=not named) as chosen:
        names = queues_of(chosen, named)
        sampler = Sampler([chosen.app.queue(name) for name in names], addresses, ask=ask, elapsed=SYSTEM_CLOCK.elapsed)
        if is_terminal(sys.stdout) and not json:
            watch(sampler, chosen, pause)
        else:
            _show_once(sampler, json=json)


def watch(sampler: Sampler, chosen: Chosen, pause: timedelta) -> None:
    """Looks, shows and waits, until Ctrl-C, which is how it is meant to end."""
    from rich.live import Live

    where = parse_url(chosen.app.url)
    before: Sample | None = None
    try:
        # What is shown is the latest look, whole: no thread redraws it in between.
        with Live(console=console_of(sys.stdout), screen=True, auto_refresh=False) as live:
            while True:
                now = sampler.look()
                heading = f"cloudq top · {where} · every {pause.total_seconds():g} s · Ctrl-C ends"
                live.update(drawn(heading, list(sections(now, Rates(before, now)))), refresh=True)
                before = now
                time.sleep(pause.total_seconds())
    except KeyboardInterrupt:
        return


def _show_once(sampler: Sampler, *, json: bool) -> None:
    now = sampler.look()
    if json:
        for one in as_json(now):
            write_json(one)
    else:
        for number, section in enumerate(sections(now, Rates(None, now))):
            if number:
                write("")
            table(section.columns, section.rows)
            if section.note:
                note(section.note)
    errors = [queue.error for queue in now.queues if queue.error is not None]
    if errors and len(errors) == len(now.queues):
        raise SystemExit(UNREACHABLE)
