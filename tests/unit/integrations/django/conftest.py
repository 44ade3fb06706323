"""Two databases beside the project's own, with the setting that names the first; and a back end of Django's tasks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import cloudq
from cloudq.testing import in_memory

ROOT = Path(__file__).parents[4]
APPS = (
    "cloudq.integrations.django",
    "cloudq.integrations.django.outbox",
    "cloudq.integrations.django.inbox",
    "tests.projects.django_site.ledger",
)
Program = Callable[..., subprocess.CompletedProcess[str]]
Make = Callable[..., Any]


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


@pytest.fixture
def app(databases: Any, tmp_path: Path) -> Iterator[cloudq.App]:
    """On a file, as in production: its sends within `atomic()` of `one` are held."""
    from cloudq.integrations.django import atomic

    app = cloudq.App(f"sqlite:///{tmp_path}/q.db")
    app.task("note")(lambda n: None)
    atomic.hold_sends(app)
    yield app
    app.close()


@pytest.fixture(autouse=True)
def no_back_ends_of_other_tests(django_site: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A back end's place is the process's, and the default App's tasks are each test's own."""
    from cloudq.integrations.django import place

    monkeypatch.setattr(place, "_places", {})


@pytest.fixture
def make(django_site: None) -> Iterator[Make]:
    """Gives the back end `default` with these options, and nothing in its queues."""
    from django.test import override_settings

    from cloudq.integrations.django.contract import task_backends
    from tests.projects.django_site.reports import tasks

    tasks.ran.clear()
    with ExitStack() as undone:

        def made(*, queues: list[str] | None = None, **options: Any) -> Any:
            params: dict[str, Any] = {
                "BACKEND": "cloudq.integrations.django.CloudqBackend",
                "OPTIONS": {"url": "memory://", **options},
            }
            if queues is not None:
                params["QUEUES"] = queues
            undone.enter_context(override_settings(TASKS={"default": params}))
            backend = task_backends["default"]
            undone.enter_context(in_memory(backend.app))
            return backend

        yield made


@pytest.fixture
def told(django_site: None) -> Iterator[list[tuple[str, str, str]]]:
    """What Django's signals said: which, of which message, with which status."""
    from cloudq.integrations.django import contract

    heard: list[tuple[str, str, str]] = []
    signals = {
        "enqueued": contract.task_enqueued,
        "started": contract.task_started,
        "finished": contract.task_finished,
    }
    receivers = []
    for name, signal in signals.items():

        def receive(*, sender: type, task_result: Any, name: str = name, **_: object) -> None:
            assert sender.__name__ == "CloudqBackend"
            heard.append((name, task_result.task.name, str(task_result.status)))

        receivers.append(receive)  # a signal holds them weakly
        signal.connect(receive)
    yield heard
    for signal, receiver in zip(signals.values(), receivers, strict=True):
        signal.disconnect(receiver)
