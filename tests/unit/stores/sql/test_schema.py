"""The files of migrations, and how they are cut into statements. What a server makes of them: tests/conformance."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import cloudq.stores.sql
from cloudq.stores.sql import schema

FOLDER = Path(cloudq.stores.sql.__file__).parent / "migrations"
DIALECTS = ["postgresql", "mysql", "mariadb"]


def test_statements_end_with_a_semicolon_at_the_end_of_a_line() -> None:
    """One within a line is part of a text; what begins with two dashes is for people."""
    migration = "-- first; comment\ncreate table a (x text default ';')\n;\n-- more\n\ninsert into a\nvalues (';x');\n"
    assert schema.statements_in(migration) == ["create table a (x text default ';')", "insert into a\nvalues (';x')"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_nth_file_makes_version_n(dialect: str) -> None:
    """It says so at its end, so that it can be run by hand as well."""
    for number, migration in enumerate(schema.migrations_of(dialect), 1):
        last = schema.statements_in(migration)[-1]
        assert last.endswith(f"(version) values ({number})")
        assert last.startswith(f"insert into {schema.VERSIONS} ")


def test_every_dialect_has_the_same_versions() -> None:
    """Numbered from 1, without a gap."""
    names = {folder.name: sorted(path.name for path in folder.glob("*.sql")) for folder in FOLDER.iterdir()}
    assert names["postgresql"] == names["mysql"]
    assert names["mysql"] == [f"{number:04}.sql" for number in range(1, len(names["mysql"]) + 1)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_table_and_index_can_be_there_already(dialect: str) -> None:
    """On MySQL a change of a table commits by itself: a file that failed half-way is run again."""
    for migration in schema.migrations_of(dialect):
        for made in re.findall(r"create (?:table|index) (.*)", migration):
            assert made.startswith("if not exists ")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_statement_has_a_percent_sign(dialect: str) -> None:
    """PyMySQL takes it for the place of a value, and other tools run the files as they are."""
    assert not [statement for migration in schema.migrations_of(dialect) if "%" in (statement := migration)]
