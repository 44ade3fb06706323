"""Migrations make the tables that `create_outbox` and `create_inbox` make, and their models fit these."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import cloudq


def tables(file: Path) -> dict[str, tuple[str, list[tuple[object, ...]]]]:
    """Their SQL, and the rows of those that have some from the start."""
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("select name, sql, type from sqlite_master where name like 'cloudq%' order by name")
        return {
            name: (sql, connection.execute(f"select * from {name}").fetchall() if kind == "table" else [])  # noqa: S608
            for name, sql, kind in found.fetchall()
        }


LOOK = """
from django.apps import apps
from django.core.management import call_command
from django.db import connection

call_command("migrate", verbosity=0)
call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)
for label in ("cloudq_outbox", "cloudq_inbox"):
    for model in apps.get_app_config(label).get_models():
        with connection.cursor() as cursor:
            found = connection.introspection.get_table_description(cursor, model._meta.db_table)
        assert [field.column for field in model._meta.fields] == [column.name for column in found], found
        assert [] == list(model.objects.all())
"""


def test_they_are_the_same(manage, tmp_path):
    """Of every column, index and first row; and Django finds nothing to migrate in the models."""
    assert (done := manage("shell", "-v0", "-c", LOOK)).returncode == 0, done.stderr
    with closing(sqlite3.connect(tmp_path / "ours.db")) as connection:
        cloudq.create_outbox(connection)
        cloudq.create_inbox(connection)
    assert tables(tmp_path / "ours.db") == tables(tmp_path / "site.db")
    assert {"cloudq_outbox", "cloudq_inbox", "cloudq_outbox_schema"} <= tables(tmp_path / "site.db").keys()
    assert (done := manage("migrate", "-v0", "cloudq_outbox", "zero")).returncode == 0, done.stderr
    assert ["cloudq_inbox", "cloudq_inbox_kept"] == list(tables(tmp_path / "site.db"))


def test_another_database_is_refused(django_site):
    """With what there is."""
    from types import SimpleNamespace

    from cloudq.errors import ConfigurationError
    from cloudq.integrations.django.tables import CreateTables

    editor = SimpleNamespace(connection=SimpleNamespace(vendor="oracle", alias="default"))
    with pytest.raises(ConfigurationError, match="no tables on oracle"):
        CreateTables(lambda _: [], ()).database_forwards("cloudq_outbox", editor, None, None)
