"""The whole command line in one place: its commands, their groups and their examples. Needs typer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import getdoc, signature
from typing import Annotated, Any, Final, get_args, get_type_hints

import typer
from typer.main import get_command

from cloudq.cli import (
    bridge,
    cancel,
    check_idempotency,
    emulate,
    explain,
    idempotency,
    inbox,
    making,
    migrate_report,
    pausing,
    purging,
    result,
    send,
    store,
    tasks,
    terraform,
    version,
    worker,
)
from cloudq.cli.autoscale import command as autoscale
from cloudq.cli.cost import command as cost
from cloudq.cli.demo import command as demo
from cloudq.cli.dlq import commands as dlq
from cloudq.cli.dlq import exchange, repair
from cloudq.cli.doctor import command as doctor
from cloudq.cli.failures import INTERRUPTED, USAGE
from cloudq.cli.options import DEBUG, Switches
from cloudq.cli.outbox import commands as outbox
from cloudq.cli.outbox import relay
from cloudq.cli.output import json_log
from cloudq.cli.parameters import Argument, Option
from cloudq.cli.stats import command as stats
from cloudq.cli.top import command as top

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
outbox_group = typer.Typer(no_args_is_help=True, context_settings=_CONTEXT, rich_markup_mode="rich")
store_group = typer.Typer(no_args_is_help=True, context_settings=_CONTEXT, rich_markup_mode="rich")
idempotency_group = typer.Typer(no_args_is_help=True, context_settings=_CONTEXT, rich_markup_mode="rich")
inbox_group = typer.Typer(no_args_is_help=True, context_settings=_CONTEXT, rich_markup_mode="rich")
bridge_group = typer.Typer(no_args_is_help=True, context_settings=_CONTEXT, rich_markup_mode="rich")
migrate_reports = typer.Typer(no_args_is_help=True, context_settings=_CONTEXT, rich_markup_mode="rich")
dead_letters = typer.Typer(no_args_is_help=True, context_settings=_CONTEXT, rich_markup_mode="rich")


def _print_version(value: bool) -> None:
    if value:
        version.version()
        raise typer.Exit


def _show_tracebacks(context: typer.Context, value: bool) -> bool:
    if value and isinstance(context.obj, Switches):
        context.obj.debug = True
    return value


def _option(option: Option) -> Any:
    """An option in typer's words."""
    return typer.Option(
        *filter(None, (option.name, option.short)),
        help=option.help,
        metavar=option.metavar,
        min=option.min,
        max=option.max,
        rich_help_panel=option.panel,
        callback=_show_tracebacks if option is DEBUG else None,
    )


def _annotation(hint: Any) -> Any:
    """What is declared of a parameter, in typer's words."""
    kind, declared = get_args(hint)
    if isinstance(declared, Argument):
        argument = typer.Argument(metavar=declared.metavar, help=declared.help, show_default=declared.show_default)
        return Annotated[kind, argument]
    return Annotated[kind, _option(declared)]


def _for_typer(function: Callable[..., None]) -> Callable[..., None]:
    """A command that typer can read."""

    def command(**given: object) -> None:
        function(**given)

    hints = get_type_hints(function, include_extras=True)
    annotations = {name: _annotation(hint) for name, hint in hints.items() if name != "return"}
    taken = signature(function)
    parameters = [taken.parameters[name].replace(annotation=hint) for name, hint in annotations.items()]
    command.__signature__ = taken.replace(parameters=parameters)  # type: ignore[attr-defined]  # `inspect` looks for it
    command.__annotations__ = annotations
    return command


@application.callback(
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 the backend can't be reached or used, "
    "130 interrupted."
)
def _cloudq(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    _debug: Annotated[bool, _option(DEBUG)] = False,
) -> None:
    """Send tasks, run them, and look after their queues."""


@dead_letters.callback()
def _dlq() -> None:
    """Look at what failed for good, send it again, corrected or not, keep it elsewhere, or throw it away."""


@bridge_group.callback()
def _bridge() -> None:
    """Take over what waits in the queue of another library of tasks, on the day of the switch."""


@emulators.callback()
def _emulate() -> None:
    """Run a hosted queue on this machine, for development."""


@outbox_group.callback()
def _outbox() -> None:
    """Publish what programs store in their database's outbox, and look after it."""


@queue_group.callback()
def _queues() -> None:
    """Set up queues, for development, and check them."""


@store_group.callback()
def _store() -> None:
    """Look after the store of idempotency keys: its tables, and what may go from them."""


@idempotency_group.callback()
def _idempotency() -> None:
    """Look at what the store has of an idempotency key, or have it forgotten."""


@inbox_group.callback()
def _inbox() -> None:
    """Look after the table in your own database that makes `context.transaction` exactly once."""


@migrate_reports.callback()
def _migrate_report() -> None:
    """Say what of a program that was written for another library carries over."""


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
    declare = group.command(
        name, help="\n\n".join(paragraphs), epilog="\n\n".join(["Examples:", *lines]), rich_help_panel=panel
    )
    declare(_for_typer(function))


_add(application, "worker", worker.worker, worker.EXAMPLES, _WORK)
_add(application, "send", send.send, send.EXAMPLES, _WORK)
_add(application, "cancel", cancel.cancel, cancel.EXAMPLES, _WORK)
_add(application, "demo", demo.demo, demo.EXAMPLES, _WORK)
_add(application, "tasks", tasks.tasks, tasks.EXAMPLES, _LOOK)
_add(application, "stats", stats.stats, stats.EXAMPLES, _LOOK)
_add(application, "cost", cost.cost, cost.EXAMPLES, _LOOK)
_add(application, "top", top.top, top.EXAMPLES, _LOOK)
_add(application, "result", result.result, result.EXAMPLES, _LOOK)
_add(application, "explain", explain.explain, explain.EXAMPLES, _LOOK)
_add(application, "doctor", doctor.doctor, doctor.EXAMPLES, _LOOK)
_add(application, "check-idempotency", check_idempotency.check_idempotency, check_idempotency.EXAMPLES, _LOOK)
_add(application, "version", version.version, version.EXAMPLES, _LOOK)
application.add_typer(migrate_reports, name="migrate-report", rich_help_panel=_LOOK)
_add(migrate_reports, "celery", migrate_report.celery, migrate_report.CELERY_EXAMPLES)
application.add_typer(queue_group, name="queues", rich_help_panel=_WORK)
_add(queue_group, "create", making.create, making.CREATE_EXAMPLES)
_add(queue_group, "check", making.check, making.CHECK_EXAMPLES)
application.add_typer(store_group, name="store", rich_help_panel=_WORK)
_add(store_group, "migrate", store.migrate, store.MIGRATE_EXAMPLES)
_add(store_group, "sweep", store.sweep, store.SWEEP_EXAMPLES)
application.add_typer(idempotency_group, name="idempotency", rich_help_panel=_REPAIR)
_add(idempotency_group, "show", idempotency.show, idempotency.SHOW_EXAMPLES)
_add(idempotency_group, "forget", idempotency.forget, idempotency.FORGET_EXAMPLES)
application.add_typer(terraform_group, name="terraform", rich_help_panel=_WORK)
_add(terraform_group, "vars", terraform.vars_, terraform.VARS_EXAMPLES)
_add(terraform_group, "check", terraform.check, terraform.CHECK_EXAMPLES)
_add(application, "autoscale-config", autoscale.autoscale_config, autoscale.EXAMPLES, _WORK)
application.add_typer(emulators, name="emulate", rich_help_panel=_WORK)
_add(emulators, "cloudtasks", emulate.cloudtasks, emulate.CLOUD_TASKS_EXAMPLES)
_add(emulators, "servicebus", emulate.servicebus, emulate.SERVICE_BUS_EXAMPLES)
application.add_typer(outbox_group, name="outbox", rich_help_panel=_WORK)
_add(outbox_group, "relay", relay.relay, relay.EXAMPLES)
_add(outbox_group, "status", outbox.status, outbox.STATUS_EXAMPLES)
_add(outbox_group, "retry", outbox.retry, outbox.RETRY_EXAMPLES)
_add(outbox_group, "skip", outbox.skip, outbox.SKIP_EXAMPLES)
_add(outbox_group, "schema", outbox.schema, outbox.SCHEMA_EXAMPLES)
application.add_typer(bridge_group, name="bridge", rich_help_panel=_WORK)
_add(bridge_group, "celery", bridge.celery, bridge.CELERY_EXAMPLES)
application.add_typer(inbox_group, name="inbox", rich_help_panel=_REPAIR)
_add(inbox_group, "schema", inbox.schema, inbox.SCHEMA_EXAMPLES)
_add(inbox_group, "sweep", inbox.sweep, inbox.SWEEP_EXAMPLES)
_add(inbox_group, "forget", inbox.forget_, inbox.FORGET_EXAMPLES)
application.add_typer(dead_letters, name="dlq", rich_help_panel=_REPAIR)
_add(application, "pause", pausing.pause, pausing.PAUSE_EXAMPLES, _REPAIR)
_add(application, "resume", pausing.resume, pausing.RESUME_EXAMPLES, _REPAIR)
_add(application, "purge", purging.purge, purging.EXAMPLES, _REPAIR)
_add(dead_letters, "list", dlq.list_, dlq.LIST_EXAMPLES)
_add(dead_letters, "show", dlq.show_, dlq.SHOW_EXAMPLES)
_add(dead_letters, "redrive", repair.redrive, repair.REDRIVE_EXAMPLES)
_add(dead_letters, "edit", repair.edit, repair.EDIT_EXAMPLES)
_add(dead_letters, "purge", repair.purge, repair.PURGE_EXAMPLES)
_add(dead_letters, "export", exchange.export, exchange.EXPORT_EXAMPLES)
_add(dead_letters, "import", exchange.import_, exchange.IMPORT_EXAMPLES)


def invoke(words: Sequence[str], switches: Switches) -> None:
    """Runs the command that the words name.

    Raises:
        SystemExit: Always, with the exit code: what there is to say about usage was said.
    """
    command, log = get_command(application), json_log()
    if log is None:
        command.main(list(words), prog_name="cloudq", obj=switches)
        return
    try:
        code = command.main(list(words), prog_name="cloudq", obj=switches, standalone_mode=False)
    except typer.Abort:
        code = INTERRUPTED
    except Exception as error:
        # A mistake in the command line: of click, or of the copy of it that newer releases of typer bring.
        said = getattr(error, "format_message", None)
        if said is None:
            raise
        code = getattr(error, "exit_code", USAGE)
        log.error("%s", said(), extra={"cloudq_exit_code": code})  # noqa: TRY400 - the traceback would be typer's
    raise SystemExit(code)
