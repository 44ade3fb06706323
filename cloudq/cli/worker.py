"""`cloudq worker`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from cloudq.cli import worker_options as options
from cloudq.cli import worker_push
from cloudq.cli.banner import note_undeclared, show_banner
from cloudq.cli.choosing import Chosen, tasks_app
from cloudq.cli.options import AppSpec, Backend, Debug, duration
from cloudq.cli.outbox.hosting import relaying
from cloudq.cli.outbox.place import ListenUrl, RelayedOutbox
from cloudq.cli.starting import Starting
from cloudq.cli.wording import in_options
from cloudq.core.driver import is_push
from cloudq.errors import ConfigurationError

if TYPE_CHECKING:
    from cloudq.worker.service import Worker
    from cloudq.worker.settings import WorkerSettings

EXAMPLES = (
    "cloudq worker",
    "cloudq worker --app shop.tasks --queue emails=5 --queue reports",
    "cloudq worker --queue urgent --queue bulk --strict --concurrency 20 --health 8080 --log-format json",
    "cloudq worker --processes 4 --burst",
    "cloudq worker --queue emails --fail-fast",
    "cloudq worker --health 8080 --metrics-port 9090",
    "cloudq worker --backend cloudtasks --port 8080",
)
CONCURRENCY: Final = 10
POLLS: Final = 8
LEASE: Final = "120"


def worker(
    *,
    app: AppSpec = None,
    backend: Backend = None,
    queue: options.Queues = None,
    strict: options.Strict = False,
    concurrency: options.Concurrency = None,
    processes: options.Processes = None,
    burst: options.Burst = False,
    fail_fast: options.FailFast = False,
    max_tasks: options.MaxTasks = None,
    grace: options.Grace = "30",
    lease: options.Lease = None,
    wait: options.Wait = None,
    prefetch: options.Prefetch = None,
    polls: options.Polls = None,
    health: options.Health = None,
    metrics_port: options.Metrics = None,
    outbox: RelayedOutbox = None,
    listen: ListenUrl = None,
    log_format: options.LogFormatName = "text",
    log_level: options.LogLevel = "info",
    log_summary: options.LogSummary = None,
    reload: options.Reload = False,
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
    from cloudq.running.log_summary import summarised
    from cloudq.running.logs import configure
    from cloudq.running.sweeping import add_sweep, sweeping
    from cloudq.worker.settings import WorkerSettings

    if reload:
        from cloudq.cli.reloading import supervise

        raise SystemExit(supervise(sys.argv[1:], app))
    if concurrency is not None and processes is not None:
        raise ConfigurationError(
            "--concurrency and --processes exclude each other: N processes run N tasks at once",
            hint="--concurrency for tasks that wait, --processes for tasks that compute",
        )
    configure(options.log_format_of(log_format), log_level)
    summary = None if log_summary is None else duration("--log-summary", log_summary, positive=True)
    weights = options.weights(queue or [], strict=strict)
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
        configure(options.log_format_of(log_format), log_level, chosen.app.redact)
        listens = None if health is None else options.address(health)
        scraped = None if metrics_port is None else options.address(metrics_port, "--metrics-port")
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
            with sweeping(chosen.app), summarised(chosen.app, summary):
                code = worker_push.serve(
                    chosen,
                    serving,
                    queues=list(weights),
                    concurrency=CONCURRENCY if concurrency is None else concurrency,
                    max_tasks=max_tasks,
                    grace=duration("--grace", grace),
                    health=listens,
                    metrics=scraped,
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
                metrics=scraped,
                app_spec=chosen.spec,
                app_folder=chosen.folder,
                app_found=f"{chosen.spec} in {chosen.folder}, from {chosen.how}",
            )
            with sweeping(chosen.app), summarised(chosen.app, summary):
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
    note_undeclared(chosen, service.queues)


def _seconds(length: timedelta) -> str:
    return f"{length.total_seconds():g} s"
