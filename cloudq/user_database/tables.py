"""Tables of cloudq's own in the user's database: their SQL as shipped, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from cloudq.user_database.statements import Dialect, Script, Statement


class Table(NamedTuple):
    """A table.

    Attributes:
        name: Its name.
        statements: What makes it and its indexes where they are missing, for each database.
    """

    name: str
    statements: Mapping[Dialect, Sequence[str]]

    def sql(self, dialect: Dialect) -> str:
        """The statements as a file of SQL."""
        return "".join(f"{statement};\n" for statement in self.statements[dialect])


def creating(tables: Iterable[Table], dialect: Dialect) -> Script[None]:
    """Makes what is missing. Ends no transaction and begins none by itself."""
    for table in tables:
        for statement in table.statements[dialect]:
            yield Statement(statement)
