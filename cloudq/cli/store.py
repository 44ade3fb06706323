"""`cloudq store migrate` and `sweep`."""

from __future__ import annotations

from typing import Annotated, Final

from cloudq.cli.choosing_store import StoreOption, one_store, store_url
from cloudq.cli.options import Backend, Debug, Json, NamedApp
from cloudq.cli.output import note, write, write_json
from cloudq.cli.parameters import Option
from cloudq.core.store_url import parse_store_url
from cloudq.errors import ConfigurationError
from cloudq.running.sweeping import BATCH
from cloudq.stores.opening import migrate_store, migration_sql

MIGRATE_EXAMPLES: Final = (
    "cloudq store migrate",
    "cloudq store migrate --store postgresql://app@db.example/jobs",
    "cloudq store migrate --store mariadb://app@db.example/jobs --print > store.sql",
)
SWEEP_EXAMPLES: Final = ("cloudq store sweep", "cloudq store sweep --limit 100000 --json")


def migrate(
    *,
    print_: Annotated[
        bool, Option("--print", help="Show the SQL that makes all tables, and connect to nothing.")
    ] = False,
    store: StoreOption = None,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Make the tables of the store of idempotency keys, or bring them to the version that this cloudq needs.

    Several may do so at once; one that finds them up to date changes nothing.
    """
    if print_ and json:
        raise ConfigurationError("--print writes SQL, and --json would write JSON", hint="give one of them")
    with store_url(store, app, backend) as (_, url):
        where = str(parse_store_url(url))
        if print_:
            sql = migration_sql(url)
            if sql:
                write(sql.rstrip("\n"))
            else:
                note(f"{where} has no tables that have to be made by SQL")
            return
        before, now = migrate_store(url)
    if json:
        write_json({"store": where, "before": before, "now": now})
    elif not now:
        note(f"{where} has no tables that a migration makes")
    elif before == now:
        write(f"{where} is up to date: version {now}")
    else:
        write(f"{where} is now at version {now}; " + (f"it was at {before}" if before else "it had no tables"))


def sweep(
    *,
    limit: Annotated[
        int | None, Option("--limit", metavar="N", min=1, help="At most this many. Default: all that may go.")
    ] = None,
    store: StoreOption = None,
    app: NamedApp = None,
    backend: Backend = None,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Remove the records of idempotency keys that were kept for long enough, of all who share the store.

    A worker does so by itself, little by little; this is for stores that no worker runs on. DynamoDB and Redis remove
    them themselves.
    """
    removed = 0
    with one_store(store, app, backend) as chosen:
        while limit is None or removed < limit:
            portion = BATCH if limit is None else min(BATCH, limit - removed)
            gone = chosen.store.sweep(portion)
            removed += gone
            if gone < portion:
                break
    if json:
        write_json({"store": chosen.where, "removed": removed})
    else:
        write(f"removed {removed:,} records from {chosen.where}")
