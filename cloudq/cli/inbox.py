"""`cloudq inbox`: the table beside the effects of `context.transaction`, in the user's own database."""

from __future__ import annotations

from typing import Annotated, Final

from cloudq.cli.options import Debug, Json, Yes
from cloudq.cli.output import confirm_or_exit, write, write_json
from cloudq.cli.parameters import Argument, Option
from cloudq.errors import OptionError, nearest
from cloudq.user_database import inbox
from cloudq.user_database.by_url import connected
from cloudq.user_database.statements import Dialect
from cloudq.user_database.upkeep import forget, sweep_inbox

SCHEMA_EXAMPLES: Final = ("cloudq inbox schema --dialect postgresql > migrations/0042_cloudq_inbox.sql",)
SWEEP_EXAMPLES: Final = ("cloudq inbox sweep postgresql://shop@db.example/shop",)
FORGET_EXAMPLES: Final = ("cloudq inbox forget postgresql://shop@db.example/shop shop.pay order-42",)

Url = Annotated[
    str,
    Argument(
        metavar="URL", help="The database: postgresql://, mysql://, mariadb:// or sqlite:///PATH.", show_default=False
    ),
]


def schema(
    *,
    dialect: Annotated[str, Option("--dialect", metavar="NAME", help="postgresql, mysql (MariaDB too) or sqlite.")],
    _debug: Debug = False,
) -> None:
    """Print the SQL that makes the table of `context.transaction` in your database.

    Statements for what is there already change nothing.
    """
    known = {kind.value: kind for kind in Dialect} | {"mariadb": Dialect.MYSQL}
    if dialect not in known:
        raise OptionError(f"--dialect {dialect!r} is none that cloudq has SQL for: {nearest(dialect, known)}")
    write(inbox.TABLE.sql(known[dialect]).rstrip("\n"))


def sweep(
    url: Url,
    *,
    limit: Annotated[
        int, Option("--limit", metavar="N", min=1, max=10_000, help="The most rows a transaction. Default: 1000.")
    ] = 1_000,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Remove the rows that were kept for 62 days, in one short transaction after the other."""
    removed = 0
    with connected(url) as database:
        while True:
            swept = sweep_inbox(database.given, limit=limit)
            removed += swept
            if swept < limit:
                break
    if json:
        write_json({"removed": removed})
    else:
        write(f"removed {removed:,} rows")


def forget_(
    url: Url,
    task: Annotated[str, Argument(metavar="TASK", help="The task's name.", show_default=False)],
    key: Annotated[str, Argument(metavar="KEY", help="The idempotency key.", show_default=False)],
    *,
    namespace: Annotated[
        str | None, Option("--namespace", metavar="NAME", help="Whose, where apps share the database. Default: all.")
    ] = None,
    yes: Yes = False,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Forget that the work of a key is done, so that another message of it does it again. Exit code 1: it wasn't known.

    The record in the store of idempotency keys is another one: see `cloudq idempotency forget`.
    """
    confirm_or_exit(f"Forget that {task} with key {key!r} is done?", yes=yes)
    with connected(url) as database:
        removed = forget(database.given, task, key, namespace=namespace)
    if json:
        write_json({"removed": removed})
    else:
        write(f"forgot {removed:,} rows" if removed else "no row of that key is there")
    if not removed:
        raise SystemExit(1)
