"""The user's database by its URL, for commands and for what a worker does beside its tasks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

from cloudq.errors import ConfigurationError, StoreUnavailable
from cloudq.user_database.addresses import engine_of, file_of
from cloudq.user_database.database import UserDatabase
from cloudq.user_database.opening import opened

EXAMPLE: Final = "postgresql://user:password@host/database"


@contextmanager
def connected(url: str) -> Iterator[UserDatabase]:
    """A connection for the block, by which nothing is left open. A file of SQLite has to be there.

    Args:
        url: As that of the outbox: `postgresql://`, `mysql://`, `mariadb://` or `sqlite:///PATH`, or with a driver of
            SQLAlchemy's. Its password is shown in no text.

    Raises:
        ConfigurationError: It can't be used, or there is no such file; or `cloudq[sql]` isn't installed.
        StoreUnavailable: The server can't be reached.
    """
    path = file_of(url, "inbox")
    if path is not None:
        import sqlite3  # `import cloudq` and its names load none

        if not os.path.isfile(path):  # noqa: PTH113 - Path's raises where the folder may not be looked into
            raise ConfigurationError(f"there is no file {path}", hint="sqlite:///shop.db, or sqlite:////srv/shop.db")
        with closing(sqlite3.connect(path)) as connection:
            yield opened(connection)
        return
    engine = engine_of(url, "inbox")
    if not engine.url.database:
        raise ConfigurationError("the inbox's URL names no database", hint=EXAMPLE)
    try:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            of_server = engine.connect()
        except SQLAlchemyError as error:
            # Without its text, which has the address in it.
            cause = getattr(error, "orig", None) or error
            raise StoreUnavailable(f"the inbox's database can't be reached: {type(cause).__name__}") from error
        with of_server:
            yield opened(of_server)
    finally:
        engine.dispose()
