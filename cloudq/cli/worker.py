"""`cloudq worker`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

import cloudq
from cloudq.cli.choosing import Chosen, tasks_app
from cloudq.cli.options import AppSpec, Backend, Debug, duration, queue_name
from cloudq.cli.output import complain, note
from cloudq.config import parse_claim_check, parse_url
from cloudq.core.processor import worker_name
from cloudq.errors import ConfigurationError, nearest

if TYPE_CHECKING:
    from cloudq.worker.logs import LogFormat
    from cloudq.worker.service import Worker

EXAMPLES = (
    "cloudq worker",
    "cloudq worker --app shop.tasks --queue emails=5 --queue reports",
    "cloudq worker --queue urgent --queue bulk --strict --concurrency 20 --health 8080 --log-format json",
    "cloudq worker --processes 4 --burst",
)
# A probe comes from outside of the container, so a bare port is served on all its addresses. The pages hold no data.
EVERYWHERE = "0.0.0.0"  # noqa: S104 - see above; HOST:PORT narrows it
_HIGHEST_PORT = 65535


def worker(
    *,
    app: AppSpec = None,
    backend: Backend = None,
    queue: Annotated[
        list[str] | None,
        typer.Option(
            "--queue",
            metavar="NAME[=WEIGHT]",
            help="Repeatable. With a weight of 5 a queue gets five turns to another's one. "
            "Default: every queue that the tasks declare.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Serve a queue only while those named before it are empty.")
    ] = False,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency", metavar="N", min=1, help="Tasks at once, in threads and coroutines. Default: 10."
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes", metavar="N", min=1, help="Run tasks in N child processes, one each: for work that computes."
        ),
    ] = None,
    burst: Annotated[bool, typer.Option("--burst", help="End once nothing is ready.")] = False,
    max_tasks: Annotated[
        int | None, typer.Option("--max-tasks", metavar="N", min=1, help="End after so many tasks.")
    ] = None,
    grace: Annotated[
        str, typer.Option("--grace", metavar="SECONDS", help="How long running tasks may take to finish at the end.")
    ] = "30",
    lease: Annotated[
        str,
        typer.Option(
            "--lease", metavar="SECONDS", help="After so long without a sign of life, another worker gets the task."
        ),
    ] = "120",
    prefetch: Annotated[
        int | None,
        typer.Option(
            "--prefetch", metavar="N", min=0, help="Messages of a queue that may wait in the worker. Default: measured."
        ),
    ] = None,
    health: Annotated[
        str | None,
        typer.Option("--health", metavar="PORT|HOST:PORT", help="Serve /healthz and /readyz there."),
    ] = None,
    log_format: Annotated[
        str, typer.Option("--log-format", metavar="text|json", help="How to log to stderr.")
    ] = "text",
    log_level: Annotated[str, typer.Option("--log-level", metavar="LEVEL", help="The least severe to show.")] = "info",
    _debug: Debug = False,
) -> None:
    """Run the app's tasks until told to stop.

    The first SIGTERM or Ctrl-C lets running tasks finish and gives back those that wait; a second one gives back all
    and ends now. Exits with 0 either way.
    """
    from cloudq.worker.logs import configure
    from cloudq.worker.service import Worker
    from cloudq.worker.settings import WorkerSettings

    if concurrency is not None and processes is not None:
        raise ConfigurationError(
            "--concurrency and --processes exclude each other: N processes run N tasks at once",
            hint="--concurrency for tasks that wait, --processes for tasks that compute",
        )
    configure(_log_format(log_format), log_level)
    weights = _weights(queue or [], strict=strict)
    with tasks_app(app, backend) as chosen:
        _refuse_memory(chosen)
        settings = WorkerSettings(
            queues=weights,
            strict=strict,
            concurrency=10 if concurrency is None else concurrency,
            processes=processes or 0,
            burst=burst,
            grace=duration("--grace", grace),
            max_tasks=max_tasks,
            lease=duration("--lease", lease),
            prefetch=prefetch,
            health=None if health is None else address(health),
            app_spec=chosen.spec,
        )
        service = Worker(chosen.app, settings)
        _show_banner(service, chosen, as_json=log_format == "json")
        code = service.run()
    raise typer.Exit(code)


def address(text: str) -> tuple[str, int]:
    """The host and port in `8080`, `127.0.0.1:8080` or `[::1]:8080`.

    Raises:
        ConfigurationError: It is neither.
    """
    host, _, port = text.rpartition(":")
    if _whole(port) is None or int(port) > _HIGHEST_PORT:
        raise ConfigurationError(
            f"--health {text!r} is no port to listen on", hint="--health 8080, or --health 127.0.0.1:8080"
        )
    return host.strip("[]") or EVERYWHERE, int(port)


def _log_format(text: str) -> LogFormat:
    known: Mapping[str, LogFormat] = {"text": "text", "json": "json"}
    if text not in known:
        raise ConfigurationError(f"there is no log format {text!r}", hint="--log-format text, or --log-format json")
    return known[text]


def _weights(named: Sequence[str], *, strict: bool) -> Mapping[str, int]:
    weights: dict[str, int] = {}
    for text in named:
        name, equals, weight = text.partition("=")
        queue_name(name)
        if name in weights:
            raise ConfigurationError(f"--queue {name!r} is given twice", hint="name each queue once")
        if equals and strict:
            raise ConfigurationError(
                f"--queue {text!r} has a weight, which --strict ignores", hint="leave out the weights, or --strict"
            )
        if equals and not _whole(weight):
            raise ConfigurationError(f"--queue {text!r}: a weight is a whole number from 1", hint=f"--queue {name}=5")
        weights[name] = int(weight) if equals else 1
    return weights


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _refuse_memory(chosen: Chosen) -> None:
    if parse_url(chosen.app.url).scheme == "memory":
        raise ConfigurationError(
            "memory:// lives inside one process, so a worker of its own would never see a message",
            hint="--backend sqlite:///cloudq.db; in a test: cloudq.testing's run_all",
        )


def _show_banner(service: Worker, chosen: Chosen, *, as_json: bool) -> None:
    """Says on stderr what is about to work on what."""
    settings = service.settings
    tasks = sorted(chosen.app.tasks)
    backend = str(parse_url(chosen.app.url))
    store = None if chosen.app.claim_check_url is None else str(parse_claim_check(chosen.app.claim_check_url))
    mode = f"{settings.processes} processes" if settings.processes else f"{settings.concurrency} tasks at once"
    if as_json:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "level": "info",
            "logger": "cloudq.worker",
            "message": "cloudq worker starts",
            "version": cloudq.__version__,
            "worker": worker_name(),
            "backend": backend,
            "claim_check": store,
            "app": chosen.spec,
            "queues": service.queues,
            "strict": settings.strict,
            "tasks": tasks,
            "concurrency": settings.slots,
            "processes": settings.processes,
            "lease_seconds": {name: lease.total_seconds() for name, lease in service.leases.items()},
        }
        complain(msgspec.json.encode(line).decode())
    else:
        queues = [name if weight == 1 else f"{name}={weight}" for name, weight in service.queues.items()]
        leases = [f"{name} {_seconds(lease)}" for name, lease in service.leases.items()]
        lines = {
            "backend": backend,
            "app": str(chosen.spec),
            "queues": ", ".join(queues) + (" (in this order)" if settings.strict else ""),
            "tasks": ", ".join(tasks),
            "at once": mode,
            "leases": ", ".join(leases),
            **({} if store is None else {"payloads": f"too large for their queue: {store}"}),
        }
        note(f"cloudq {cloudq.__version__}, worker {worker_name()}")
        note("\n".join(f"  {name:<8} {value}" for name, value in lines.items()))
    declared = chosen.app.declared_queues()
    for name in service.queues:
        if name not in declared and not as_json:
            note(f"note: no task declares queue {name!r}: {nearest(name, declared)}")


def _seconds(length: timedelta) -> str:
    return f"{length.total_seconds():g} s"
