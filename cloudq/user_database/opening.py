"""Recognises the user's connection, without an import of the library that it is of."""

from __future__ import annotations

from typing import Any, Final

from cloudq.errors import TransactionRefused
from cloudq.user_database.database import UserDatabase

KNOWN: Final = (
    "a SQLAlchemy Connection, Session, AsyncConnection or AsyncSession; a connection of psycopg, pymysql or sqlite3; "
    'or using="default" for Django'
)
_MAKERS: Final = {
    "Engine": "with engine.connect() as connection: ... (connection)",
    "AsyncEngine": "async with engine.connect() as connection: ... (connection)",
    "sessionmaker": "with Session() as session: ... (session)",
    "async_sessionmaker": "async with Session() as session: ... (session)",
}


def opened(given: object = None, *, using: str | None = None) -> UserDatabase:
    """The user's connection, ready for steps. Does nothing with it yet.

    Args:
        given: The connection.
        using: The alias of one of Django's databases, in its place.

    Raises:
        TransactionRefused: It is nothing that is known here.
    """
    if using is not None:
        if given is not None:
            raise TransactionRefused("a connection and using= were both given", hint="give one of them")
        return _of_django(using)
    roots = {base.__module__.partition(".")[0] for base in type(given).__mro__}
    if "sqlalchemy" in roots:
        return _of_sqlalchemy(given)
    if "django" in roots and isinstance(alias := getattr(given, "alias", None), str):
        return _of_django(alias)
    if roots & {"psycopg", "pymysql", "sqlite3"}:
        from cloudq.user_database.of_dbapi import of_dbapi

        if (database := of_dbapi(given)) is not None:
            return database
    raise TransactionRefused(f"{_type(given)} is no connection that cloudq knows", hint=f"give {KNOWN}")


def _of_django(alias: str) -> UserDatabase:
    from cloudq.user_database.of_django import DjangoDatabase

    return DjangoDatabase(alias)


def _of_sqlalchemy(given: Any) -> UserDatabase:
    from cloudq.user_database.of_sqlalchemy import of_sqlalchemy

    if (database := of_sqlalchemy(given)) is not None:
        return database
    hint = _MAKERS.get(type(given).__name__, f"give {KNOWN}")
    raise TransactionRefused(f"{_type(given)} is no connection", hint=hint)


def _type(given: object) -> str:
    return "None" if given is None else f"a {type(given).__module__}.{type(given).__qualname__}"
