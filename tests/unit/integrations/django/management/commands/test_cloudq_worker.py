"""`manage.py cloudq_worker`, and `cloudq worker` in a Django project."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import cloudq

MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.projects.django_site.settings")\n'


def test_it_runs_the_projects_tasks(manage, site, tmp_path):
    """With the worker's own options, whatever those of Django between them are."""
    assert (done := manage("migrate", "-v0")).returncode == 0, done.stderr
    with closing(cloudq.App(site["CLOUDQ_URL"])) as app:
        app.send("ledger.note", {"number": 1})
        app.send("ledger.anote", {"number": 2})
    done = manage("cloudq_worker", "--burst", "-v1", "--concurrency", "2")
    assert done.returncode == 0, done.stderr
    assert "app      cloudq.integrations.django.worker_app, from CLOUDQ_APP" in done.stderr
    assert "at once  2 tasks at once" in done.stderr
    with closing(sqlite3.connect(tmp_path / "site.db")) as database:
        assert [(1,), (2,)] == database.execute("select number from ledger_run order by number").fetchall()


def test_a_wrong_option_is_the_workers(manage):
    """Exit code 2, with what is wrong."""
    done = manage("cloudq_worker", "--bursty")
    assert (2, True) == (done.returncode, "--bursty" in done.stderr)


def test_cloudq_worker_finds_the_project(program, tmp_path: Path):
    """By `DJANGO_SETTINGS_MODULE`, or by the `manage.py` of the folder that it is started in."""
    done = program("-m", "cloudq", "worker", "--burst")
    assert "app      cloudq.integrations.django.worker_app, from DJANGO_SETTINGS_MODULE" in done.stderr
    assert "tasks    ledger.anote, ledger.note" in done.stderr
    (tmp_path / "manage.py").write_text(MANAGE)
    done = program("-m", "cloudq", "worker", "--burst", DJANGO_SETTINGS_MODULE="")
    assert f"app      cloudq.integrations.django.worker_app, from {tmp_path}/manage.py" in done.stderr
    assert "tasks    ledger.anote, ledger.note" in done.stderr
