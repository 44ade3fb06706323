"""`cloudq terraform vars` and `cloudq terraform check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import msgspec

from cloudq.app import App
from cloudq.cli.choosing import tasks_app
from cloudq.cli.options import AppSpec, Debug, Json
from cloudq.cli.output import note, write, write_bytes, write_json
from cloudq.cli.parameters import Argument, Option
from cloudq.cli.plan_faults import Planned, faults, undeclared, unknown
from cloudq.cli.queue_needs import CLOUDS, Cloud, Needs, entry, needs_of, request_timeout, unfit
from cloudq.core.url import parse_url
from cloudq.errors import ConfigurationError

VARS_EXAMPLES: Final = (
    "cloudq terraform vars --cloud aws > queues.auto.tfvars.json",
    "cloudq terraform vars --app shop.tasks --cloud google --concurrency 20",
)
CHECK_EXAMPLES: Final = (
    "cloudq terraform check plan.json",
    "cloudq terraform check plan.json --app shop.tasks --prefix prod- --json",
)

CloudOption = Annotated[
    Cloud | None, Option("--cloud", help="Whose queues. Default: the backend's, or the only ones of the plan.")
]


def vars_(
    *,
    cloud: CloudOption = None,
    function: Annotated[
        str | None,
        Option("--lambda", metavar="FUNCTION", help="AWS: the Lambda function that runs all tasks."),
    ] = None,
    concurrency: Annotated[
        int | None,
        Option("--concurrency", min=1, max=5000, help="Google: how many pushes of a queue may be under way."),
    ] = None,
    app: AppSpec = None,
    _debug: Debug = False,
) -> None:
    """Write the map of queues that the Terraform modules take, from the tasks' declarations.

    It is JSON for a file whose name ends in .auto.tfvars.json. Exits with 2 if the service can't have such a queue.
    """
    with tasks_app(app, None) as chosen:
        needs = _needs(chosen.app)
        where = cloud or _cloud_of(chosen.app)
    _refuse_elsewhere(where, function, concurrency)
    problems = [words for one in needs for words in unfit(where, one, function=function)]
    if problems:
        raise ConfigurationError("; ".join(problems))
    queues = {one.queue: entry(where, one, function=function, concurrency=concurrency) for one in needs}
    write_bytes(msgspec.json.format(msgspec.json.encode({"queues": queues}), indent=2) + b"\n")
    if where is Cloud.GOOGLE:
        note(f"note: let a request to the worker take {request_timeout(needs)} seconds; a queue doesn't say it")


def check(
    plan: Annotated[str, Argument(metavar="FILE", help="A plan, by `terraform show -json`; - is stdin.")],
    *,
    cloud: CloudOption = None,
    prefix: Annotated[
        str, Option("--prefix", metavar="TEXT", help="What the queues' names start with on the service.")
    ] = "",
    app: AppSpec = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Compare a Terraform plan with the tasks' declarations, and say what doesn't fit.

    Exits with 1 if something doesn't. Queues that no task declares are told, and are no fault.
    """
    planned = Planned(_decoded(plan))
    with tasks_app(app, None) as chosen:
        needs = _needs(chosen.app)
    where = cloud or _only(planned.clouds())
    found: dict[str, list[str]] = {one.queue: [] for one in needs}
    for queue, words in faults(planned, where, needs, prefix):
        found[queue].append(words)
    for queue, problems in found.items():
        if json:
            write_json({"queue": queue, "problems": problems})
        else:
            write("\n".join(f"{queue}: {words}" for words in problems) or f"{queue} fits")
    for queue in unknown(planned, where, needs, prefix):
        note(f"note: the redrive_policy of {queue!r} is known only once it is applied: check a plan after that, too")
    for queue in undeclared(planned, where, needs, prefix):
        note(f"note: no task declares queue {queue!r} of the plan")
    if any(found.values()):
        raise SystemExit(1)


def _needs(app: App) -> list[Needs]:
    handlers = app.runtime.handlers
    return needs_of(handlers[name] for name in app.tasks)


def _cloud_of(app: App) -> Cloud:
    scheme = parse_url(app.url).scheme
    if scheme not in CLOUDS:
        raise ConfigurationError(f"{scheme}:// needs no Terraform", hint="--cloud aws, google or azure")
    return CLOUDS[scheme]


def _only(clouds: list[Cloud]) -> Cloud:
    if len(clouds) != 1:
        several = f"the plan has queues of {' and '.join(clouds)}" if clouds else "the plan has no queues"
        raise ConfigurationError(several, hint="--cloud aws, google or azure" if clouds else None)
    return clouds[0]


def _refuse_elsewhere(cloud: Cloud, function: str | None, concurrency: int | None) -> None:
    if function is not None and cloud is not Cloud.AWS:
        raise ConfigurationError("--lambda is for --cloud aws")
    if concurrency is not None and cloud is not Cloud.GOOGLE:
        raise ConfigurationError("--concurrency is for --cloud google: elsewhere workers take what they can run")


def _decoded(plan: str) -> object:
    try:
        text = sys.stdin.buffer.read() if plan == "-" else Path(plan).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{plan} can't be read: {error.strerror or error}") from error
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ConfigurationError(
            f"{plan} is no JSON: {error}",
            hint="terraform plan -out=plan && terraform show -json plan > plan.json",
        ) from error
