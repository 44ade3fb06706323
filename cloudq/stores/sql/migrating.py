"""What an operator asks for: the tables' migration, or its SQL, by a store's URL."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cloudq.core.clock import Clock
from cloudq.core.store_url import StoreUrl
from cloudq.errors import StoreRefused
from cloudq.stores.sql import schema
from cloudq.stores.sql.faults import unconnected
from cloudq.stores.sql.store import DIALECTS
from cloudq.stores.sql.url import address_of, engine_of

# Changing a large table takes as long as it takes; the server's own limits hold.
_PATIENCE: Final = timedelta(hours=1)


def migrate_url(url: StoreUrl, timeout: timedelta, clock: Clock) -> tuple[int, int]:
    """Brings the tables to the newest version, on the server that the URL names.

    Returns:
        The version before, 0 for none, and after.

    Raises:
        ConfigurationError: The URL can't be used.
        SchemaMismatch: The tables are of a newer version than this cloudq knows.
        StoreRefused: The server doesn't do it, in its own words, or refuses these credentials.
        StoreUnavailable: It can't be reached.
    """
    del clock
    dialect = DIALECTS[address_of(url).get_backend_name()]()
    # First one that gives up soon: whether the server answers at all.
    looking = engine_of(url, timeout)
    try:
        looking.connect().close()
    except (DBAPIError, PoolTimeout) as error:
        raise unconnected(error, dialect, url.password) from error
    finally:
        looking.dispose()
    engine = engine_of(url, max(timeout, _PATIENCE))
    try:
        return schema.migrate(engine)
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or type(error).__name__).strip().partition("\n")[0]
        raise StoreRefused(
            f"the store's tables can't be made or changed: {said}",
            hint="this user needs the right to create tables; or have another one run what --print shows",
        ) from error
    finally:
        engine.dispose()


def sql_of(url: StoreUrl) -> str:
    """All migrations, from the first one, as SQL for the server that the URL names. Connects to nothing.

    Raises:
        ConfigurationError: The URL can't be used.
    """
    return "\n".join(schema.migrations_of(address_of(url).get_backend_name()))
