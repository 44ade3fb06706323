"""`cloudq migrate-report celery`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from cloudq.cli.choosing import importing
from cloudq.cli.failures import FAILED
from cloudq.cli.options import Debug, Json
from cloudq.cli.output import note, table, write, write_json
from cloudq.cli.parameters import Argument, Option
from cloudq.discovery import load_module
from cloudq.errors import ConfigurationError, kind_of

if TYPE_CHECKING:  # the other commands start without it
    from cloudq.compat.celery.report.findings import Finding

CELERY_EXAMPLES: Final = (
    "cloudq migrate-report celery proj.celery:app",
    "cloudq migrate-report celery proj.celery:app --source src --json",
    "cloudq migrate-report celery --source src",
)
_SHOWN: Final = 3
_TITLES: Final = {
    "REFUSED": "has no counterpart, and is refused by name",
    "CHANGES": "is honoured, and changes its meaning",
    "MAPS": "maps",
}

App = Annotated[
    str | None,
    Argument(metavar="[MODULE:ATTR]", help="Celery's app, which is imported. Default: none is.", show_default=False),
]
Sources = Annotated[
    list[str] | None,
    Option("--source", metavar="FOLDER", help="Read the sources in it. Several times for several. Default: this one."),
]


def celery(app: App = None, *, source: Sources = None, json: Json = False, _debug: Debug = False) -> None:
    """Say what of a program that was written for Celery maps, changes its meaning, or has no counterpart.

    The app is imported with Celery, as a worker of its own would do it: settings, routes, schedule and the options of
    tasks are read from it. Calls, imports and the canvas are read from the sources, which aren't run. Nothing is
    connected to. Without an app only the sources are read. Exit code 1: something has no counterpart.
    """
    from cloudq.compat.celery.report.findings import counted, together
    from cloudq.compat.celery.report.of_app import of_app
    from cloudq.compat.celery.report.of_sources import source_files, tasks_in

    findings = [*(() if app is None else of_app(_loaded(app)))]
    folders = [Path(folder) for folder in source or ["."]]
    for folder in folders:
        if not folder.is_dir():
            raise ConfigurationError(
                f"--source {str(folder)!r} is no folder", hint="the folder of the program's sources"
            )
    files = [file for folder in folders for file in source_files(folder)]
    tasks = {name for file in files for name in tasks_in(file)}
    for file in files:
        findings += _of_file(file, declarations=app is None, tasks=tasks)
    found = together(findings)
    counts = {verdict.name: count for verdict, count in counted(found).items()}
    if json:
        for one in found:
            write_json({**msgspec.to_builtins(one), "verdict": one.verdict.name.lower()})
    else:
        _show(found, counts)
    if counts["REFUSED"]:
        raise SystemExit(FAILED)


def _loaded(spec: str) -> Any:
    from cloudq.compat.celery.report.of_app import is_celery_app

    module, _, attribute = spec.partition(":")
    with importing(spec):
        value: Any = load_module(module, Path.cwd())
    for part in (attribute or "app").split("."):
        value = getattr(value, part, None)
    if not is_celery_app(value):
        raise ConfigurationError(
            f"{module}:{attribute or 'app'} is no app of Celery's: "
            + ("there is nothing of that name" if value is None else f"it is {kind_of(value)}"),
            hint="cloudq migrate-report celery proj.celery:app",
        )
    return value


def _of_file(file: Path, *, declarations: bool, tasks: Collection[str]) -> Iterator[Finding]:
    from cloudq.compat.celery.report.of_sources import of_source

    shown = str(file)
    try:
        yield from of_source(file, shown, declarations=declarations, tasks=tasks)
    except (OSError, ValueError, SyntaxError, RecursionError) as error:
        note(f"note: {shown} isn't read: {error}")


def _show(found: Sequence[Finding], counts: Mapping[str, int]) -> None:
    write(f"{counts['MAPS']} map, {counts['CHANGES']} change their meaning, {counts['REFUSED']} have no counterpart\n")
    for verdict, title in _TITLES.items():
        rows = [
            (one.kind, one.name, len(one.places), one.ours, _places(one))
            for one in found
            if one.verdict.name == verdict
        ]
        if rows:
            write(f"\nWhat {title}\n\n")
            table(("what", "name", "times", "here", "where"), rows)


def _places(one: Finding) -> str:
    rest = len(one.places) - _SHOWN
    return ", ".join(one.places[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
