"""`cloudq autoscale-config`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from cloudq.app import App
from cloudq.cli.autoscale import cloud_run, cloudwatch, container_apps, keda
from cloudq.cli.autoscale.plan import Plan, checked_image, checked_name
from cloudq.cli.autoscale.triggers import trigger
from cloudq.cli.autoscale.yaml_text import yaml_of
from cloudq.cli.choosing import Chosen, any_app, queues_of, tasks_app
from cloudq.cli.options import AppSpec, Backend, Debug, duration, queue_name
from cloudq.cli.output import note, write, write_bytes
from cloudq.cli.parameters import Argument, Option
from cloudq.cli.queue_needs import Needs, needs_of
from cloudq.core.url import parse_url
from cloudq.errors import ConfigurationError, OptionError, nearest

EXAMPLES: Final = (
    "cloudq autoscale-config keda --queue emails --image registry.example/shop:1 --account 123456789012",
    "cloudq autoscale-config cloudwatch --queue emails --image registry.example/shop:1 > workers.json",
    "cloudq autoscale-config containerapps --queue emails --image shop.azurecr.io/shop:1 --time-limit 30m",
    "cloudq autoscale-config cloudrun --queue pings --image registry.example/shop:1 --account 123456789012 "
    "--worker-pool projects/shop/locations/europe-west1/workerpools/pings",
)
_GRACE: Final = timedelta(seconds=10)
_SHORT_GRACE: Final = timedelta(seconds=2)
# Twice what runs at once: a worker that takes long polls has the next ones at hand.
_MESSAGES_PER_SLOT: Final = 2
_ACCOUNT: Final = re.compile(r"[0-9]{12}")


class Platform(StrEnum):
    """Where the workers run."""

    KEDA = "keda"
    CLOUDWATCH = "cloudwatch"
    CLOUDRUN = "cloudrun"
    CONTAINERAPPS = "containerapps"


def autoscale_config(
    platform: Annotated[
        Platform,
        Argument(metavar="PLATFORM", help="keda, cloudwatch, cloudrun or containerapps.", show_default=False),
    ],
    *,
    queue: Annotated[str, Option("--queue", metavar="NAME", help="The queue that the workers are for.")],
    image: Annotated[str, Option("--image", metavar="IMAGE", help="The workers' container image.")],
    name: Annotated[
        str | None, Option("--name", metavar="NAME", help="What the workers are called. Default: worker-QUEUE.")
    ] = None,
    min_workers: Annotated[
        int | None,
        Option("--min-workers", metavar="N", min=0, max=1000, help="At least. Default: 0, cloudwatch: 1."),
    ] = None,
    max_workers: Annotated[
        int, Option("--max-workers", metavar="N", min=1, max=10_000, help="At most. Default: 20.")
    ] = 20,
    concurrency: Annotated[
        int, Option("--concurrency", metavar="N", min=1, max=1000, help="Tasks at once in a worker. Default: 10.")
    ] = 10,
    per_worker: Annotated[
        int | None,
        Option(
            "--per-worker",
            metavar="N",
            min=1,
            help="Messages for each worker, those that run included. Default: twice the concurrency.",
        ),
    ] = None,
    time_limit: Annotated[
        str | None,
        Option(
            "--time-limit",
            metavar="SECONDS",
            help="How long a task without one may take. Default: as the tasks declare.",
        ),
    ] = None,
    grace: Annotated[
        str | None,
        Option(
            "--grace",
            metavar="SECONDS",
            help="How long beyond the time limit a worker has to settle. Default: 10, cloudrun: 2.",
        ),
    ] = None,
    account: Annotated[
        str | None, Option("--account", metavar="ID", help="SQS: the AWS account, unless the backend's URL says it.")
    ] = None,
    worker_pool: Annotated[
        str | None, Option("--worker-pool", metavar="NAME", help="cloudrun: the full name of the worker pool.")
    ] = None,
    environment: Annotated[
        str | None,
        Option("--environment", metavar="ID", help="containerapps: the resource ID of the environment."),
    ] = None,
    app: AppSpec = None,
    backend: Backend = None,
    _debug: Debug = False,
) -> None:
    """Write what has a platform scale the workers of a queue by its messages, those in flight included.

    A worker that is scaled in has the time to end what it runs: the longest time limit of the queue's tasks, and a
    grace. Where the platform waits for less, tasks become jobs of their own, or the command refuses with 2.

    It calls nobody. Write it to a file, look at it, and apply it.
    """
    name = checked_name(name, queue_name(queue))
    _refuse_other_options(platform, worker_pool=worker_pool, environment=environment)
    if account is not None and not _ACCOUNT.fullmatch(account):
        raise OptionError(f"--account {account!r} is no AWS account", hint="--account 123456789012")
    given = None if time_limit is None else duration("--time-limit", time_limit, positive=True)
    with _chosen(app, backend, given) as chosen:
        queues_of(chosen, [queue])
        url = chosen.app.url
        if given is not None:
            refuse_shorter(chosen.app, queue, given)
        limit = longest_limit(chosen.app, queue) if given is None else given
    default_grace = _SHORT_GRACE if platform is Platform.CLOUDRUN else _GRACE
    default_least = 1 if platform is Platform.CLOUDWATCH else 0
    plan = Plan(
        queue=queue,
        backend=parse_url(url),
        url=url,
        image=checked_image(image),
        name=name,
        app=app,
        time_limit=limit,
        grace=default_grace if grace is None else duration("--grace", grace),
        least=default_least if min_workers is None else min_workers,
        most=max_workers,
        per_worker=_MESSAGES_PER_SLOT * concurrency if per_worker is None else per_worker,
        concurrency=concurrency,
    )
    if plan.least > plan.most:
        raise OptionError(f"--min-workers {plan.least} is more than --max-workers {plan.most}")
    match platform:
        case Platform.KEDA:
            _write_keda(plan, account)
        case Platform.CLOUDWATCH:
            cloudwatch.refuse_elsewhere(plan)
            write_bytes(msgspec.json.format(msgspec.json.encode(cloudwatch.template(plan)), indent=2) + b"\n")
            note("note: the service has to run this task definition, and the cluster needs Container Insights")
        case Platform.CLOUDRUN:
            _write_cloud_run(plan, account, worker_pool)
        case Platform.CONTAINERAPPS:
            _write_container_apps(plan, environment)


def longest_limit(app: App, queue: str) -> timedelta:
    """The longest time limit of a queue's tasks.

    Raises:
        ConfigurationError: No task declares the queue, or one of them has no limit.
    """
    needs = _needs(app)
    hint = "--time-limit 10m; or @task(time_limit=timedelta(minutes=10))"
    if queue not in needs:
        raise ConfigurationError(
            f"no task declares queue {queue!r}, so how long its tasks may take isn't known: {nearest(queue, needs)}",
            hint=hint,
        )
    found = needs[queue]
    if found.longest is None:
        raise ConfigurationError(
            f"task {found.unlimited[0]!r} has no time_limit, so how long a worker needs to end isn't known", hint=hint
        )
    return found.longest


def refuse_shorter(app: App, queue: str, given: timedelta) -> None:
    """Refuses a `--time-limit` within which a task of the queue may not have ended: a scale-in would kill it.

    Raises:
        OptionError: It is shorter than what a task declares.
    """
    found = _needs(app).get(queue)
    declared = [] if found is None else [(limit, task) for task, limit in found.limits.items() if limit is not None]
    longest, task = max(declared, default=(given, ""))
    if longest > given:
        raise OptionError(
            f"--time-limit is shorter than the time_limit of task {task!r}: it would be killed when a worker goes",
            hint=f"leave it out, or --time-limit {math.ceil(longest.total_seconds())}s",
        )


def _needs(app: App) -> dict[str, Needs]:
    handlers = app.runtime.handlers
    return {one.queue: one for one in needs_of(handlers[task] for task in app.tasks)}


@contextmanager
def _chosen(app: str | None, backend: str | None, limit: timedelta | None) -> Iterator[Chosen]:
    """The app whose tasks say how long they may take; where that was said, its tasks aren't needed."""
    choice = tasks_app(app, backend, looks=True) if limit is None else any_app(app, backend, wanted=False)
    with choice as chosen:
        yield chosen


def _write_keda(plan: Plan, account: str | None) -> None:
    jobs = keda.needs_jobs(plan)
    found = trigger(plan, account=account, per_worker=1 if jobs else None)
    write(yaml_of(keda.manifests(plan, found)).rstrip("\n"))
    if jobs:
        note(
            f"note: a worker needs {plan.termination} s to end, and a node that is taken back waits for "
            f"{keda.LONGEST_TERMINATION}: each task has a job of its own"
        )
    if found.type == "gcp-cloudtasks":
        note("note: KEDA has deprecated its scaler gcp-cloudtasks (September 2025)")


def _write_cloud_run(plan: Plan, account: str | None, pool: str | None) -> None:
    cloud_run.refuse_elsewhere(plan)
    found = trigger(plan, account=account)
    write(yaml_of([cloud_run.configuration(plan, found, cloud_run.checked_pool(pool))]).rstrip("\n"))
    words = " ".join(plan.command("--wait", "5", "--concurrency", str(plan.concurrency)))
    note(
        f"note: the worker pool has to run {plan.image} as: {words}",
        f"note: CREMA takes credentials from these secrets of its project: {', '.join(cloud_run.secrets_of(found))}",
        f"note: whether CREMA runs KEDA's scaler {found.type} its authors leave open (June 2026): try it",
    )


def _write_container_apps(plan: Plan, environment: str | None) -> None:
    container_apps.refuse_elsewhere(plan)
    jobs = container_apps.needs_jobs(plan)
    found = trigger(plan, account=None, per_worker=1 if jobs else None)
    write(yaml_of([container_apps.resource(plan, found, environment)]).rstrip("\n"))
    verb = "job create" if jobs else "create"
    note(f"note: az containerapp {verb} --name {plan.name} --resource-group GROUP --yaml FILE")
    if jobs:
        note(
            f"note: a worker needs {plan.termination} s to end, and Container Apps waits for "
            f"{container_apps.LONGEST_TERMINATION} at most: each task has a job of its own"
        )


def _refuse_other_options(platform: Platform, **given: str | None) -> None:
    """Refuses an option of another platform: it would do nothing."""
    of: Mapping[str, Platform] = {"worker_pool": Platform.CLOUDRUN, "environment": Platform.CONTAINERAPPS}
    for name, value in given.items():
        if value is not None and platform is not of[name]:
            raise OptionError(f"--{name.replace('_', '-')} is for {of[name]}", hint="leave it out")
