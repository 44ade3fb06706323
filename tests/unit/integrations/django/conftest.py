"""Two databases beside the project's own, and the setting that names the first."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[4]
APPS = (
    "cloudq.integrations.django",
    "cloudq.integrations.django.outbox",
    "cloudq.integrations.django.inbox",
    "tests.projects.django_site.ledger",
)
Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def site(tmp_path: Path) -> dict[str, str]:
    """The environment of the project's programs: a database and a queue in this test's folder."""
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "tests.projects.django_site.settings",
        "DJANGO_SITE_DATABASE": str(tmp_path / "site.db"),
        "DJANGO_SITE_APPS": " ".join(APPS),
        "CLOUDQ_URL": f"sqlite:///{tmp_path}/q.db",
    }


@pytest.fixture
def program(site: dict[str, str], tmp_path: Path) -> Program:
    """Runs Python with these words, in the project's environment and this test's folder."""

    def run(*words: str, **others: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            env=site | others,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def manage(program: Program) -> Program:
    """Runs a command of the project's `manage.py`."""
    return lambda *words, **others: program(str(ROOT / "tests/projects/django_site/manage.py"), *words, **others)


@pytest.fixture
def databases(django_site: None, tmp_path: Path) -> Iterator[Any]:
    """Django's connections, with `one` and `two`: files, each with the table `effect`. `CLOUDQ` names `one`."""
    from django.db import connections
    from django.test import override_settings

    for alias in ("one", "two"):
        own = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / f"{alias}.db")}
        connections.settings[alias] = connections.configure_settings({"default": {}, alias: own})[alias]
        with connections[alias].cursor() as cursor:
            cursor.execute("create table effect (name text unique)")
    with override_settings(CLOUDQ={"DATABASE": "one"}):
        yield connections
    for alias in ("one", "two"):
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]
