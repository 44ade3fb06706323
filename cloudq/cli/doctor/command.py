"""`cloudq doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

from cloudq.cli.choosing import Chosen, any_app, queues_of, tasks_app
from cloudq.cli.doctor.examination import Report, examine
from cloudq.cli.doctor.fault import Finding, Severity
from cloudq.cli.doctor.program import installed_version
from cloudq.cli.options import AppSpec, Backend, Debug, Json, queue_name
from cloudq.cli.outbox.place import configured_url
from cloudq.cli.output import note, write, write_json
from cloudq.cli.parameters import Argument, Option

EXAMPLES: Final = (
    "cloudq doctor",
    "cloudq doctor --app shop.tasks --backend sqs://eu-west-1?prefix=prod- --fail-on warning",
    "cloudq doctor emails --role producer --json",
)


class Role(StrEnum):
    """Whose permissions are asked for."""

    WORKER = "worker"
    PRODUCER = "producer"


def doctor(
    queues: Annotated[
        list[str] | None,
        Argument(metavar="QUEUE...", help="Their names. Default: every queue that the tasks declare."),
    ] = None,
    *,
    role: Annotated[Role, Option("--role", help="Whose permissions are asked for: of who runs this.")] = Role.WORKER,
    fail_on: Annotated[
        Severity, Option("--fail-on", help="From which severity on the exit code is 1.")
    ] = Severity.ERROR,
    app: AppSpec = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Hold what is set up against what the tasks ask for, and say what doesn't fit, what follows, and what fixes it.

    It only reads: queues and their dead-letter queues, permissions, clocks, ages, Lambda's mappings, the store, the
    outbox that CLOUDQ_OUTBOX_URL names, installed packages. What it may not look at it says, too. Exits with 1 if it
    found an error, or with --fail-on warning a warning.
    """
    named = [queue_name(name) for name in queues or []]
    with _chosen(app, backend, named) as chosen:
        names = queues_of(chosen, named)
        folder = Path(chosen.folder) if chosen.folder is not None else Path.cwd()
        report = examine(
            chosen.app,
            names,
            works=role is Role.WORKER,
            outbox=configured_url(),
            folder=folder,
            installed=installed_version,
        )
    (_say_json if json else _say)(report, names)
    if any(finding.fault.severity.rank >= fail_on.rank for finding in report.findings):
        raise SystemExit(1)


@contextmanager
def _chosen(app: str | None, backend: str | None, named: list[str]) -> Iterator[Chosen]:
    """The App whose tasks are held against what is there; of queues that are named it needs no tasks."""
    choice = any_app(app, backend, wanted=False) if named else tasks_app(app, backend, looks=True)
    with choice as chosen:
        if chosen.spec is None:
            note("note: without --app nothing is known of the tasks, and only what holds for all of them is checked")
        yield chosen


def _say(report: Report, queues: list[str]) -> None:
    for finding in report.findings:
        of = "" if finding.queue is None else f" of queue {finding.queue}"
        write(f"{finding.fault.severity}: {finding.fault.id}{of} ({finding.where})")
        write(f"  {finding.what}")
        write(f"  why: {finding.fault.why}")
        write(f"  fix: {finding.command}")
        if finding.terraform is not None:
            write(f"  terraform: {finding.terraform}")
    for unchecked in report.unchecked:
        note(f"note: not checked: {unchecked.what}: {unchecked.why}")
    errors, warnings = report.count(Severity.ERROR), report.count(Severity.WARNING)
    write(f"{_counted(errors, 'error')}, {_counted(warnings, 'warning')}; looked at {', '.join(queues)}")


def _say_json(report: Report, queues: list[str]) -> None:
    for finding in report.findings:
        write_json({"kind": "finding", **_as_json(finding)})
    for unchecked in report.unchecked:
        write_json({"kind": "unchecked", "what": unchecked.what, "why": unchecked.why})
    errors, warnings = report.count(Severity.ERROR), report.count(Severity.WARNING)
    counts = {"errors": errors, "warnings": warnings, "unchecked": len(report.unchecked)}
    write_json({"kind": "summary", "queues": queues, **counts})


def _as_json(finding: Finding) -> dict[str, object]:
    return {
        "fault": finding.fault.id,
        "severity": finding.fault.severity,
        "where": finding.where,
        "queue": finding.queue,
        "what": finding.what,
        "why": finding.fault.why,
        "fix": finding.command,
        "terraform": finding.terraform,
        "source": finding.fault.source or None,
    }


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
