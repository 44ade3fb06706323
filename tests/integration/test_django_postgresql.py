"""Django on PostgreSQL: its migrations make our own tables; a pool's connections go back to it after each task."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

import cloudq

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT: Final = Path(__file__).parents[2]
MANAGE: Final = str(ROOT / "tests/projects/django_site/manage.py")
TABLES: Final = ("cloudq_outbox", "cloudq_outbox_locks", "cloudq_outbox_schema", "cloudq_inbox")
# Two connections for four tasks at once: one that stayed with its thread would be missing to the others.
SETTINGS: Final = """
from tests.projects.django_site.settings import *

DATABASES = {{"default": {{
    "ENGINE": "django.db.backends.postgresql", "NAME": {name!r}, "USER": {user!r}, "HOST": {host!r}, "PORT": {port!r},
    "OPTIONS": {{"pool": {{"min_size": 1, "max_size": 2, "timeout": 60}}}},
}}}}
"""


@pytest.fixture
def address(postgresql: str) -> str:
    """psycopg's URL of the database, in which nothing of cloudq's is."""
    import psycopg

    address = postgresql.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(address, autocommit=True) as connection:
        _drop(connection)
    return address


def _drop(connection: Any) -> None:
    for table in (*TABLES, "django_migrations", "ledger_run", "ledger_entry"):
        connection.execute(f"drop table if exists {table} cascade")
    connection.execute("drop sequence if exists cloudq_outbox_numbers")


def _described(connection: Any) -> list[tuple[object, ...]]:
    """Columns, indexes, settings and first rows of our tables."""
    columns = (
        "select table_name, column_name, data_type, character_maximum_length, is_nullable, column_default, is_identity "
        "from information_schema.columns where table_name like 'cloudq%' order by table_name, ordinal_position"
    )
    indexes = "select indexdef from pg_indexes where tablename like 'cloudq%' order by indexdef"
    options = "select relname, reloptions from pg_class where relname like 'cloudq%' order by relname"
    rows = "select (select count(*) from cloudq_outbox_locks), (select max(version) from cloudq_outbox_schema)"
    return [row for query in (columns, indexes, options, rows) for row in connection.execute(query).fetchall()]


def test_the_tables_and_the_pool(address: str, tmp_path: Path) -> None:
    """The same tables to the last setting; tasks of more threads than connections all get one."""
    import psycopg

    with psycopg.connect(address) as connection:
        cloudq.create_outbox(connection)
        cloudq.create_inbox(connection)
    with psycopg.connect(address, autocommit=True) as connection:
        ours = _described(connection)
        _drop(connection)
        parts = urlsplit(address)
        text = SETTINGS.format(
            name=parts.path[1:], user=parts.username, host=parts.hostname, port=str(parts.port or "")
        )
        (tmp_path / "own_settings.py").write_text(text)
        environment = os.environ | {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
            "DJANGO_SETTINGS_MODULE": "own_settings",
            "DJANGO_SITE_APPS": "cloudq.integrations.django cloudq.integrations.django.outbox "
            "cloudq.integrations.django.inbox tests.projects.django_site.ledger",
            "CLOUDQ_URL": f"sqlite:///{tmp_path}/q.db",
            "PGPASSWORD": parts.password or "",
        }

        def manage(*words: str) -> None:
            done = subprocess.run(
                [sys.executable, MANAGE, *words],
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0, done.stderr

        manage("migrate", "-v0")
        assert ours == _described(connection)
        manage("ledger_send", "--calls", "12")
        manage("cloudq", "outbox", "relay", "--once", "--outbox", address)
        manage("cloudq_worker", "--burst", "--concurrency", "4")
        ran = connection.execute("select number from ledger_run order by number").fetchall()
        assert [(number,) for number in range(12) if number % 3] == ran
