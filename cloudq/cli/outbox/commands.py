"""`cloudq outbox status`, `retry`, `skip` and `schema`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

from cloudq.app import App
from cloudq.cli.choosing import load
from cloudq.cli.failures import FAILED
from cloudq.cli.options import Debug, Json, NamedApp, Yes
from cloudq.cli.outbox.place import Namespace, OutboxUrl, outbox_url, reading, shown_url
from cloudq.cli.output import confirm_or_exit, note, table, write, write_json
from cloudq.cli.parameters import Argument, Option
from cloudq.discovery import APP_VARIABLE, find_app
from cloudq.errors import ConfigurationError, nearest
from cloudq.outbox.rows import OutboxStatus, ParkedRow

if TYPE_CHECKING:
    from cloudq.outbox.reading import OutboxReader

STATUS_EXAMPLES: Final = ("cloudq outbox status", "cloudq outbox status --outbox postgresql://db.example/shop --json")
RETRY_EXAMPLES: Final = ("cloudq outbox retry 17 18", "cloudq outbox retry --all")
SKIP_EXAMPLES: Final = ("cloudq outbox skip 17", "cloudq outbox skip 17 18 --yes")
SCHEMA_EXAMPLES: Final = (
    "cloudq outbox schema --dialect postgresql > migrations/0042_outbox.sql",
    "cloudq outbox schema --dialect postgresql --notify",
)
DIALECTS: Final = ("postgresql", "mysql", "sqlite")

Ids = Annotated[
    list[int] | None, Argument(metavar="ID...", help="Which ones, as the status shows.", show_default=False)
]


def status(
    *,
    outbox: OutboxUrl = None,
    namespace: Namespace = None,
    limit: Annotated[int, Option("--limit", metavar="N", min=0, help="At most this many parked messages.")] = 20,
    app: NamedApp = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Show how many messages wait in the outbox, for how long, and which ones are parked, and why."""
    with _reading(app, outbox, namespace) as reader:
        full = reader.status()
        parked = reader.parked(limit) if limit else []
    if json:
        for one in full:
            write_json(status_as_json(one))
        for row in parked:
            write_json(_parked_as_json(row))
        return
    counted = ("namespace", "waiting", "failing", "parked", "held back", "oldest")
    table(counted, [(one.namespace or "-", *_counts(one), age(one.oldest)) for one in full])
    if parked:
        heads = ("parked", "queue", "task", "key", "attempts", "behind it", "since", "why")
        table(heads, [_parked_row(row) for row in parked])


def retry(
    ids: Ids = None,
    *,
    all_: Annotated[bool, Option("--all", help="All that are parked.")] = False,
    outbox: OutboxUrl = None,
    namespace: Namespace = None,
    app: NamedApp = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Have parked messages published after all, and what waits behind them on their ordering keys.

    Exit code 1: one of them isn't parked.
    """
    if bool(ids) == all_:
        raise ConfigurationError("which messages?", hint="name their ids, as `cloudq outbox status` shows, or --all")
    with _reading(app, outbox, namespace) as reader:
        retried = reader.retry(None if all_ else ids)
    _say("retried", retried, ids, json=json)


def skip(
    ids: Ids = None,
    *,
    yes: Yes = False,
    outbox: OutboxUrl = None,
    namespace: Namespace = None,
    app: NamedApp = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Delete parked messages for good; what waits behind them on their ordering keys goes on.

    Exit code 1: one of them isn't parked.
    """
    if not ids:
        raise ConfigurationError("which messages?", hint="name their ids, as `cloudq outbox status` shows")
    confirm_or_exit(f"Delete {len(ids)} parked messages of {shown_url(outbox_url(outbox))} for good?", yes=yes)
    with _reading(app, outbox, namespace) as reader:
        skipped = reader.skip(ids)
    _say("skipped", skipped, ids, json=json)


def schema(
    *,
    dialect: Annotated[
        str, Option("--dialect", metavar="|".join(DIALECTS), help="Of which database; mysql for MariaDB, too.")
    ] = "postgresql",
    notify: Annotated[
        bool,
        Option(
            "--notify",
            help="With a trigger that tells relays with a --listen-url of new messages. PostgreSQL only; it has all "
            "commits of the server that store some take turns.",
        ),
    ] = False,
    _debug: Debug = False,
) -> None:
    """Print the SQL that makes the outbox's tables, for your migrations. It may be run again."""
    from cloudq.outbox.schema import schema_sql
    from cloudq.user_database import Dialect

    if dialect not in DIALECTS:
        raise ConfigurationError(f"there is no dialect {dialect!r}: {nearest(dialect, DIALECTS)}")
    if notify and dialect != "postgresql":
        raise ConfigurationError(f"{dialect} has nothing that notifies", hint="leave --notify out: the relay polls")
    write(schema_sql(Dialect(dialect), notify=notify).rstrip())


def status_as_json(one: OutboxStatus) -> dict[str, object]:
    """How an outbox stands."""
    return {
        "namespace": one.namespace,
        "waiting": one.waiting,
        "failing": one.failing,
        "parked": one.parked,
        "held_back": one.held_back,
        "oldest_age_seconds": None if one.oldest is None else one.oldest.total_seconds(),
    }


def age(span: timedelta | None) -> str | None:
    """A length of time as the tables show it."""
    return None if span is None else str(timedelta(seconds=int(span.total_seconds())))


def _counts(one: OutboxStatus) -> tuple[int, int, int, int]:
    return one.waiting, one.failing, one.parked, one.held_back


def _parked_row(row: ParkedRow) -> tuple[object, ...]:
    since = row.parked_at.isoformat(timespec="seconds")
    return row.id, row.queue, row.task, row.ordering_key, row.attempts, row.behind, since, row.why


def _parked_as_json(row: ParkedRow) -> dict[str, object]:
    return {
        "id": row.id,
        "queue": row.queue,
        "task": row.task,
        "ordering_key": row.ordering_key,
        "attempts": row.attempts,
        "behind": row.behind,
        "created_at": row.created_at,
        "parked_at": row.parked_at,
        "why": row.why,
    }


@contextmanager
def _reading(app: str | None, outbox: str | None, namespace: str | None) -> Iterator[OutboxReader]:
    url = outbox_url(outbox)
    # Where messages would be published makes no difference here, so no backend need be named.
    chosen = App() if app is None and not os.environ.get(APP_VARIABLE) else load(find_app(app))
    with closing(chosen), reading(chosen, url, namespace) as reader:
        yield reader


def _say(done: str, count: int, ids: Sequence[int] | None, *, json: bool) -> None:
    if json:
        write_json({done: count})
    else:
        write(f"{done} {count} parked {'message' if count == 1 else 'messages'}")
    if ids and count < len(set(ids)):
        missing = len(set(ids)) - count
        note(f"not parked, or not there: {missing} of them; `cloudq outbox status` shows those that are")
        raise SystemExit(FAILED)
