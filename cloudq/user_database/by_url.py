"""The user's database by its URL, for commands and for what a worker does beside its tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from cloudq.core.store_url import parse_store_url
from cloudq.errors import ConfigurationError
from cloudq.user_database.database import UserDatabase
from cloudq.user_database.opening import opened

EXAMPLE: Final = "postgresql://user:password@host/database"


@contextmanager
def connected(url: str) -> Iterator[UserDatabase]:
    """A connection for the block, by which nothing is left open. A file of SQLite has to be there.

    Args:
        url: `postgresql://`, `mysql://`, `mariadb://` or `sqlite:///PATH`. Its password is shown in no text.

    Raises:
        ConfigurationError: It can't be used, or there is no such file; or `cloudq[sql]` isn't installed.
    """
    parsed = parse_store_url(url)
    if parsed.scheme == "sqlite":
        import sqlite3  # `import cloudq` and its names load none

        path = Path(parsed.path)
        if not path.is_file():
            raise ConfigurationError(f"there is no file {path}", hint="sqlite:///shop.db, or sqlite:////srv/shop.db")
        with closing(sqlite3.connect(path)) as connection:
            yield opened(connection)
        return
    try:
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        from cloudq.stores.sql.url import address_of

        engine = create_engine(address_of(parsed), poolclass=NullPool, hide_parameters=True)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"a database server needs the module {error.name!r}, which isn't installed",
            hint="pip install 'cloudq[sql]'",
        ) from error
    with engine.connect() as connection:
        yield opened(connection)
