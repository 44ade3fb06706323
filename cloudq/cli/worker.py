"""`cloudq worker`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Final

from cloudq.cli import worker_push
from cloudq.cli.banner import note_undeclared, show_banner
from cloudq.cli.choosing import Chosen, tasks_app
from cloudq.cli.options import AppSpec, Backend, Debug, duration, queue_name
from cloudq.cli.outbox.hosting import relaying
from cloudq.cli.outbox.place import ListenUrl, RelayedOutbox
from cloudq.cli.parameters import Option
from cloudq.cli.starting import Starting
from cloudq.cli.wording import in_options
from cloudq.core.driver import is_push
from cloudq.errors import ConfigurationError

if TYPE_CHECKING:
    from cloudq.running.logs import LogFormat
    from cloudq.worker.service import Worker
    from cloudq.worker.settings import WorkerSettings

EXAMPLES = (
    "cloudq worker",
    "cloudq worker --app shop.tasks --queue emails=5 --queue reports",
    "cloudq worker --queue urgent --queue bulk --strict --concurrency 20 --health 8080 --log-format json",
    "cloudq worker --processes 4 --burst",
    "cloudq worker --queue emails --fail-fast",
    "cloudq worker --backend cloudtasks --port 8080",
)
CONCURRENCY: Final = 10
POLLS: Final = 8
LEASE: Final = "120"
# A probe comes from outside of the container, so a bare port is served on all its addresses. The pages hold no data.
EVERYWHERE = "0.0.0.0"  # noqa: S104 - see above; HOST:PORT narrows it
_HIGHEST_PORT = 65535


def worker(
    *,
    app: AppSpec = None,
    backend: Backend = None,
    queue: Annotated[
        list[str] | None,
        Option(
            "--queue",
            metavar="NAME[=WEIGHT]",
            help="Repeatable. With a weight of 5 a queue gets five turns to another's one. "
            "Default: every queue that the tasks declare.",
        ),
    ] = None,
    strict: Annotated[
        bool, Option("--strict", help="Serve a queue only while those named before it are empty.")
    ] = False,
    concurrency: Annotated[
        int | None,
        Option("--concurrency", metavar="N", min=1, help="Tasks at once, in threads and coroutines. Default: 10."),
    ] = None,
    processes: Annotated[
        int | None,
        Option(
            "--processes", metavar="N", min=1, help="Run tasks in N child processes, one each: for work that computes."
        ),
    ] = None,
    burst: Annotated[bool, Option("--burst", help="End when no message is ready.")] = False,
    fail_fast: Annotated[
        bool,
        Option(
            "--fail-fast",
            help="End with exit code 3 if a queue doesn't exist, or may not be received from, at the start. "
            "Default: wait until it can be.",
        ),
    ] = False,
    max_tasks: Annotated[
        int | None, Option("--max-tasks", metavar="N", min=1, help="End after this many tasks.")
    ] = None,
    grace: Annotated[
        str, Option("--grace", metavar="SECONDS", help="How long running tasks may take to finish at the end.")
    ] = "30",
    lease: Annotated[
        str | None,
        Option(
            "--lease",
            metavar="SECONDS",
            help="How long a worker may be unreachable before another one gets its task. Default: 120.",
        ),
    ] = None,
    wait: Annotated[
        str | None,
        Option(
            "--wait",
            metavar="SECONDS",
            help="How long a poll of an empty queue waits. Default: 8, or less with a short lease. On SQS an idle "
            "worker ends after this at the latest; shorter waits make more calls.",
        ),
    ] = None,
    prefetch: Annotated[
        int | None,
        Option(
            "--prefetch", metavar="N", min=0, help="Messages of a queue that may wait in the worker. Default: measured."
        ),
    ] = None,
    polls: Annotated[
        int | None,
        Option(
            "--polls",
            metavar="N",
            min=1,
            help="The most polls of a queue at once, where one brings less than is started. Default: 8. On SQS only.",
        ),
    ] = None,
    health: Annotated[
        str | None,
        Option("--health", metavar="PORT|HOST:PORT", help="Serve /healthz and /readyz (PORT: on all addresses)."),
    ] = None,
    outbox: RelayedOutbox = None,
    listen: ListenUrl = None,
    log_format: Annotated[str, Option("--log-format", metavar="text|json", help="How to log to stderr.")] = "text",
    log_level: Annotated[str, Option("--log-level", metavar="LEVEL", help="The least severe to show.")] = "info",
    host: worker_push.Host = None,
    port: worker_push.Port = None,
    service_account: worker_push.ServiceAccounts = None,
    unsigned_account: worker_push.UnsignedAccounts = None,
    audience: worker_push.Audiences = None,
    verified_in_front: worker_push.VerifiedInFront = False,
    insecure_no_auth: worker_push.InsecureNoAuth = False,
    _debug: Debug = False,
) -> None:
    """Run the app's tasks until a signal stops it.

    The first SIGTERM or Ctrl-C lets running tasks finish and gives back those that wait; a second one gives back all
    and ends now. Exits with 0 either way; with 1 where a --burst leaves messages of tasks that it doesn't know; with 3
    where --fail-fast meets a queue that is missing or forbidden.

    A backend that pushes (Cloud Tasks) isn't polled but served over HTTP, on --host and --port.
    """
    from cloudq.running.logs import configure
    from cloudq.running.sweeping import add_sweep, sweeping
    from cloudq.worker.settings import WorkerSettings

    if concurrency is not None and processes is not None:
        raise ConfigurationError(
            "--concurrency and --processes exclude each other: N processes run N tasks at once",
            hint="--concurrency for tasks that wait, --processes for tasks that compute",
        )
    configure(log_format_of(log_format), log_level)
    weights = _weights(queue or [], strict=strict)
    as_json = log_format == "json"
    serving = worker_push.Serving(
        host=host,
        port=port,
        service_accounts=service_account,
        unsigned_accounts=unsigned_account,
        audiences=audience,
        verified_in_front=verified_in_front,
        insecure_no_auth=insecure_no_auth,
    )
    with Starting() as starting, in_options(), tasks_app(app, backend) as chosen:
        configure(log_format_of(log_format), log_level, chosen.app.redact)
        listens = None if health is None else address(health)
        beside = relaying(chosen.app, outbox, listen, as_json=as_json)
        if outbox is not None:
            from cloudq.user_database.upkeep import sweep_at

            add_sweep(chosen.app, "the inbox beside the outbox", partial(sweep_at, outbox))
        if is_push(chosen.app.driver()):
            polling = {
                "--strict": strict,
                "--processes": processes is not None,
                "--burst": burst,
                "--lease": lease is not None,
                "--wait": wait is not None,
                "--prefetch": prefetch is not None,
                "--polls": polls is not None,
                "a weight of --queue": any("=" in text for text in queue or []),
            }
            worker_push.refuse([name for name, given in polling.items() if given], pushes=True)
            if fail_fast:
                worker_push.look_at_queues(chosen.app, list(weights))
            starting.over()
            with sweeping(chosen.app):
                code = worker_push.serve(
                    chosen,
                    serving,
                    queues=list(weights),
                    concurrency=CONCURRENCY if concurrency is None else concurrency,
                    max_tasks=max_tasks,
                    grace=duration("--grace", grace),
                    health=listens,
                    as_json=as_json,
                    beside=beside,
                )
        else:
            worker_push.refuse(serving.given(), pushes=False)
            settings = WorkerSettings(
                queues=weights,
                strict=strict,
                concurrency=CONCURRENCY if concurrency is None else concurrency,
                processes=processes or 0,
                burst=burst,
                fail_fast=fail_fast,
                grace=duration("--grace", grace),
                max_tasks=max_tasks,
                lease=duration("--lease", LEASE if lease is None else lease, positive=True),
                wait=None if wait is None else duration("--wait", wait),
                prefetch=prefetch,
                polls=POLLS if polls is None else polls,
                health=listens,
                app_spec=chosen.spec,
                app_folder=chosen.folder,
                app_found=f"{chosen.spec} in {chosen.folder}, from {chosen.how}",
            )
            with sweeping(chosen.app):
                code = _poll(chosen, settings, starting, beside, as_json=as_json)
    raise SystemExit(code)


def _poll(
    chosen: Chosen,
    settings: WorkerSettings,
    starting: Starting,
    beside: AbstractContextManager[None],
    *,
    as_json: bool,
) -> int:
    from cloudq.worker.service import Worker

    service = Worker(chosen.app, settings)
    _refuse_unshared(chosen, service.queues)
    _show_banner(service, chosen, as_json=as_json)
    starting.over()
    with beside:
        return service.run()


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


def log_format_of(text: str) -> LogFormat:
    """The log format of that name.

    Raises:
        ConfigurationError: There is none.
    """
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


def _refuse_unshared(chosen: Chosen, queues: Iterable[str]) -> None:
    driver = chosen.app.driver()
    if not all(driver.capabilities(queue).shared for queue in queues):
        raise ConfigurationError(
            "this backend lives inside one process, so a worker of its own would never see a message",
            hint="--backend sqlite:///cloudq.db; in a test: cloudq.testing's run_all",
        )


def _show_banner(service: Worker, chosen: Chosen, *, as_json: bool) -> None:
    """Shows on stderr which worker starts, for which app, queues and backend."""
    settings = service.settings
    queues = [name if weight == 1 else f"{name}={weight}" for name, weight in service.queues.items()]
    lines = {
        "queues": ", ".join(queues) + (" (in this order)" if settings.strict else ""),
        "tasks": ", ".join(sorted(chosen.app.tasks)),
        "at once": f"{settings.processes} processes" if settings.processes else f"{settings.slots} tasks at once",
        "leases": ", ".join(f"{name} {_seconds(lease)}" for name, lease in service.leases.items()),
    }
    fields = {
        "queues": service.queues,
        "strict": settings.strict,
        "concurrency": settings.slots,
        "processes": settings.processes,
        "lease_seconds": {name: lease.total_seconds() for name, lease in service.leases.items()},
    }
    show_banner(chosen, lines, fields, as_json=as_json)
    if not as_json:
        note_undeclared(chosen, service.queues)


def _seconds(length: timedelta) -> str:
    return f"{length.total_seconds():g} s"
