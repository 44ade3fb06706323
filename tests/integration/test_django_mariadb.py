"""Django on MariaDB, by PyMySQL: its migrations make our own tables, and what is kept there holds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

import cloudq

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT: Final = Path(__file__).parents[2]
MANAGE: Final = str(ROOT / "tests/projects/django_site/manage.py")
APPS: Final = (
    "cloudq.integrations.django",
    "cloudq.integrations.django.outbox",
    "cloudq.integrations.django.inbox",
    "tests.projects.django_site.ledger",
)
SETTINGS: Final = """
import pymysql

pymysql.install_as_MySQLdb()

from tests.projects.django_site.settings import *

DATABASES = {{"default": {{
    "ENGINE": "django.db.backends.mysql", "NAME": {name!r}, "USER": {user!r}, "HOST": {host!r}, "PORT": {port!r},
    "OPTIONS": {{"charset": "utf8mb4"}},
}}}}
"""
# The same message in two copies, as a retry leaves them behind; and one that is rolled back to a savepoint.
TWICE = """
from django.core.management import call_command
from django.db import transaction

from cloudq.core.message import Message
from cloudq.default_app import default
from tests.projects.django_site.ledger.tasks import once

call_command("migrate", verbosity=0)
call_command("ledger_send", calls=12)
for generation in (0, 1):
    default.queue("default").send(
        Message(id="same", task="ledger.once", queue="default", payload={"number": 100}, generation=generation)
    )
with transaction.atomic():
    once.send(number=101)
    point = transaction.savepoint()
    once.send(number=102)
    transaction.savepoint_rollback(point)
"""
PRINTED = """
from django.core.management import call_command

call_command("sqlmigrate", "cloudq_outbox", "0001")
call_command("sqlmigrate", "cloudq_inbox", "0001")
"""
MIGRATED = """
from django.core.management import call_command

call_command("migrate", verbosity=0)
call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)
"""
Manage = Callable[..., str]


@pytest.fixture
def connection(mariadb: str) -> Iterator[Any]:
    """To the database, in which nothing of cloudq's or Django's is."""
    import pymysql

    parts = urlsplit(mariadb)
    with closing(
        pymysql.connect(
            host=parts.hostname, port=parts.port or 0, user=parts.username, database=parts.path[1:], autocommit=True
        )
    ) as connection:
        _drop(connection)
        yield connection
        _drop(connection)


@pytest.fixture
def manage(mariadb: str, tmp_path: Path) -> Manage:
    """Runs a command of the project's `manage.py`, and gives what it printed."""
    parts = urlsplit(mariadb)
    (tmp_path / "own_settings.py").write_text(
        SETTINGS.format(name=parts.path[1:], user=parts.username, host=parts.hostname, port=str(parts.port))
    )

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, MANAGE, *words],
            env=os.environ
            | {
                "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
                "DJANGO_SETTINGS_MODULE": "own_settings",
                "DJANGO_SITE_APPS": " ".join(APPS),
                "CLOUDQ_URL": f"sqlite:///{tmp_path}/q.db",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def _rows(connection: Any, query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def _drop(connection: Any) -> None:
    _rows(connection, "set foreign_key_checks = 0")
    for (name,) in _rows(connection, "show tables"):
        _rows(connection, f"drop table {name}")


def _described(connection: Any) -> list[tuple[Any, ...]]:
    """What our tables were made by, and those of their rows that are there from the start."""
    names = [name for (name,) in _rows(connection, "show tables like 'cloudq%'")]
    made = [row for name in names for row in _rows(connection, f"show create table {name}")]
    counts = "select (select count(*) from cloudq_outbox_locks), (select max(version) from cloudq_outbox_schema)"
    return [*made, *_rows(connection, counts)]


def test_the_tables(connection: Any, manage: Manage) -> None:
    """The same to the last column by `migrate`, by what `sqlmigrate` prints, and by cloudq's own functions."""
    connection.autocommit(False)
    cloudq.create_outbox(connection)
    cloudq.create_inbox(connection)
    connection.autocommit(True)
    ours = _described(connection)
    _drop(connection)
    for statement in manage("shell", "-v0", "-c", PRINTED).split(";\n"):
        if statement.strip():
            _rows(connection, statement)
    assert ours == _described(connection)
    _drop(connection)
    manage("shell", "-v0", "-c", MIGRATED)
    assert ours == _described(connection)
    manage("migrate", "-v0", "cloudq_outbox", "zero")
    assert [("cloudq_inbox",)] == _rows(connection, "show tables like 'cloudq%'")


def test_what_is_committed_is_sent_and_done_once(connection: Any, manage: Manage, mariadb: str) -> None:
    """By the outbox, a relay and a worker; a message that comes twice has its effect once."""
    manage("shell", "-v0", "-c", TWICE)
    assert [(8 + 1,)] == _rows(connection, "select count(*) from cloudq_outbox")
    manage("cloudq", "outbox", "relay", "--once", "--outbox", mariadb)
    manage("cloudq_worker", "--burst", "--concurrency", "4")
    committed = [number for number in range(12) if number % 3]
    ran = [number for (number,) in _rows(connection, "select number from ledger_run order by number")]
    assert [*committed, 100, 101] == ran
    assert [("ledger.once",)] * 2 == _rows(connection, "select task from cloudq_inbox")
    assert "0 rows removed from cloudq_inbox in default\n" == manage("cloudq_prune")
