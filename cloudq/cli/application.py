"""The whole command line in one place: its commands, their groups and their examples."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from inspect import getdoc
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Final, TextIO

import typer
from typer.main import get_command

from cloudq.cli import cancel, emulate, explain, making, queues, send, tasks, terraform, version, worker
from cloudq.cli.demo import command as demo
from cloudq.cli.dlq import commands as dlq
from cloudq.cli.failures import FAILED, INTERRUPTED, report
from cloudq.cli.options import Debug, Switches
from cloudq.cli.output import StdoutError, complain, is_terminal

_CONTEXT: Final = {"help_option_names": ["-h", "--help"]}
_WORK: Final = "Work"
_LOOK: Final = "Look"
_REPAIR: Final = "Repair"

application = typer.Typer(
    name="cloudq",
    no_args_is_help=True,
    context_settings=_CONTEXT,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
queue_group = typer.Typer(no_args_is_help=True, context_settings=_CONTEXT, rich_markup_mode="rich")
emulators = typer.Typer(no_args_is_help=True, context_settings=_CONTEXT, rich_markup_mode="rich")
terraform_group = typer.Typer(no_args_is_help=True, context_settings=_CONTEXT, rich_markup_mode="rich")
dead_letters = typer.Typer(no_args_is_help=True, context_settings=_CONTEXT, rich_markup_mode="rich")


def _print_version(value: bool) -> None:
    if value:
        version.version()
        raise typer.Exit


@application.callback(
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 the backend can't be reached or used, "
    "130 interrupted."
)
def _cloudq(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    _debug: Debug = False,
) -> None:
    """Send tasks, run them, and look after their queues."""


@dead_letters.callback()
def _dlq() -> None:
    """Look at what failed for good, send it again, or throw it away."""


@emulators.callback()
def _emulate() -> None:
    """Run a hosted queue on this machine, for development."""


@queue_group.callback()
def _queues() -> None:
    """Set up queues, for development, and check them."""


@terraform_group.callback()
def _terraform() -> None:
    """Have Terraform make the queues that the tasks declare, and check that it does."""


def _add(
    group: typer.Typer, name: str, function: Callable[..., None], examples: Sequence[str], panel: str | None = None
) -> None:
    # An empty line between the lines: else the help's paragraphs are joined.
    lines = [f"$ {example}".replace("[", "\\[") for example in examples]
    # A docstring's lines end where the source's do; the help's where the terminal does.
    paragraphs = [" ".join(paragraph.split()) for paragraph in (getdoc(function) or "").split("\n\n")]
    group.command(name, help="\n\n".join(paragraphs), epilog="\n\n".join(["Examples:", *lines]), rich_help_panel=panel)(
        function
    )


_add(application, "worker", worker.worker, worker.EXAMPLES, _WORK)
_add(application, "send", send.send, send.EXAMPLES, _WORK)
_add(application, "cancel", cancel.cancel, cancel.EXAMPLES, _WORK)
_add(application, "demo", demo.demo, demo.EXAMPLES, _WORK)
_add(application, "tasks", tasks.tasks, tasks.EXAMPLES, _LOOK)
_add(application, "stats", queues.stats, queues.STATS_EXAMPLES, _LOOK)
_add(application, "explain", explain.explain, explain.EXAMPLES, _LOOK)
_add(application, "version", version.version, version.EXAMPLES, _LOOK)
application.add_typer(queue_group, name="queues", rich_help_panel=_WORK)
_add(queue_group, "create", making.create, making.CREATE_EXAMPLES)
_add(queue_group, "check", making.check, making.CHECK_EXAMPLES)
application.add_typer(terraform_group, name="terraform", rich_help_panel=_WORK)
_add(terraform_group, "vars", terraform.vars_, terraform.VARS_EXAMPLES)
_add(terraform_group, "check", terraform.check, terraform.CHECK_EXAMPLES)
application.add_typer(emulators, name="emulate", rich_help_panel=_WORK)
_add(emulators, "cloudtasks", emulate.cloudtasks, emulate.CLOUD_TASKS_EXAMPLES)
_add(emulators, "servicebus", emulate.servicebus, emulate.SERVICE_BUS_EXAMPLES)
application.add_typer(dead_letters, name="dlq", rich_help_panel=_REPAIR)
_add(application, "purge", queues.purge, queues.PURGE_EXAMPLES, _REPAIR)
_add(dead_letters, "list", dlq.list_, dlq.LIST_EXAMPLES)
_add(dead_letters, "show", dlq.show_, dlq.SHOW_EXAMPLES)
_add(dead_letters, "redrive", dlq.redrive, dlq.REDRIVE_EXAMPLES)
_add(dead_letters, "purge", dlq.purge, dlq.PURGE_EXAMPLES)


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs the command that the arguments name. Returns the exit code; never raises for what a user can meet."""
    _open_closed_streams()
    _tolerate_any_locale()
    switches = Switches()
    try:
        code = _invoke(arguments, switches)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the last frame: all errors are reported here
        code = report(error, debug=switches.debug)
    return _flush(code, switches)


def _invoke(arguments: Sequence[str] | None, switches: Switches) -> int:
    given = None if arguments is None else list(arguments)
    try:
        get_command(application).main(given, prog_name="cloudq", obj=switches)
    except SystemExit as end:  # how typer ends, having said what there is to say about usage
        if end.code == INTERRUPTED:  # of this it says nothing, and what was shown may stand in an unfinished line
            complain(("\n" if is_terminal(sys.stderr) else "") + "cloudq: interrupted")
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    return 0


def _flush(code: int, switches: Switches) -> int:
    """The exit code, once stdout has taken everything: a full disk shows here, not at the interpreter's very end."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _silence(sys.stdout)
        code = code or FAILED if isinstance(error, BrokenPipeError) else _unwritten(code, error, switches)
    try:
        sys.stderr.flush()
    except OSError:  # there is no way to report it, and the command has done its work all the same
        _silence(sys.stderr)
    return code


def _unwritten(code: int, error: OSError, switches: Switches) -> int:
    return code or report(StdoutError.of(error), debug=switches.debug)


def _open_closed_streams() -> None:
    """Opens closed streams (`cloudq worker >&-`) on the null device: else the next open file would take their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            opened = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - open as long as the process lives
            setattr(sys, name, opened)


def _tolerate_any_locale() -> None:
    """A character that the locale's encoding doesn't have is escaped rather than an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _silence(stream: TextIO) -> None:
    """Drops buffered output that can't be written: the interpreter would try again at its end, and complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
