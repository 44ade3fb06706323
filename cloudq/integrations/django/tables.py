"""`CreateTables`: a migration that makes tables by cloudq's own SQL, so that they are those of every other program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from django.db import router
from django.db.migrations.operations.base import Operation

from cloudq.errors import ConfigurationError
from cloudq.user_database import Dialect

_VENDORS: Final = {"postgresql": Dialect.POSTGRESQL, "mysql": Dialect.MYSQL, "sqlite": Dialect.SQLITE}


class CreateTables(Operation):  # type: ignore[misc]  # Django has no types
    """Makes what is missing of some tables. Django's state of the models isn't its concern.

    Args:
        statements: What makes them, for each database. They can be run again: what is there stays.
        tables: Their names, in the order in which they may be dropped.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(self, statements: Callable[[Dialect], Sequence[str]], tables: Sequence[str]) -> None:
        self.statements = statements
        self.tables = tables

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Nothing."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Makes them, where the project's routers let it.

        Raises:
            ConfigurationError: The database is of a kind that has no outbox.
        """
        del from_state, to_state
        if not router.allow_migrate(schema_editor.connection.alias, app_label):
            return
        vendor = schema_editor.connection.vendor
        if (dialect := _VENDORS.get(vendor)) is None:
            raise ConfigurationError(
                f"cloudq has no tables on {vendor}", hint="PostgreSQL, MariaDB, MySQL and SQLite have them"
            )
        for statement in self.statements(dialect):
            schema_editor.execute(statement, params=None)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drops them, with all that is in them."""
        del from_state, to_state
        if not router.allow_migrate(schema_editor.connection.alias, app_label):
            return
        for table in self.tables:
            schema_editor.execute(f"drop table if exists {table}", params=None)
        if schema_editor.connection.vendor == "postgresql" and "cloudq_outbox" in self.tables:
            schema_editor.execute("drop sequence if exists cloudq_outbox_numbers", params=None)

    def describe(self) -> str:
        """For `manage.py migrate`."""
        return f"Create {', '.join(self.tables)} by cloudq's own SQL"
