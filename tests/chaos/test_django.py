"""One Django project, unchanged but for the URL, on four backends: what was committed runs; and what a crash costs."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest
from google.cloud.tasks_v2 import Queue

from cloudq.emulators.cloud_tasks import VARIABLE, CloudTasksEmulator
from tests.chaos.cloud_tasks.stand import LOCATION, free_port
from tests.chaos.scale import sized
from tests.chaos.stands import BACKENDS, Stand
from tests.integration.processes import end, environment, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(300, 900), func_only=True)]

ROOT: Final = Path(__file__).parents[2]
MANAGE: Final = str(ROOT / "tests/projects/django_site/manage.py")
APPS: Final = "cloudq.integrations.django tests.projects.django_site.ledger"
OUTBOX: Final = f"{APPS} cloudq.integrations.django.outbox"
CALLS, CRASHES = sized((24, 2), (500, 20))


@pytest.fixture
def cloud_tasks() -> Iterator[Stand]:
    """An emulator that pushes to a view of the project."""
    with CloudTasksEmulator() as emulator:
        emulator.create_queue(Queue(name=f"{LOCATION}/queues/default"))
        url = f"cloudtasks://my-project/europe-west1?target=http://127.0.0.1:{free_port()}/tasks/"
        yield Stand(url, "cloudq.drivers.cloud_tasks.driver:CloudTasksDriver", {VARIABLE: emulator.address})


class Project:
    """The project's programs, on one backend.

    Args:
        folder: Where its database is.
        stand: The backend.
        apps: What is installed.
    """

    def __init__(self, folder: Path, stand: Stand, apps: str = APPS) -> None:
        self._folder = folder
        self._url = stand.url
        self._environment = environment(
            PYTHONPATH=str(ROOT),
            DJANGO_SITE_DATABASE=str(folder / "site.db"),
            DJANGO_SITE_APPS=apps,
            DJANGO_SITE_URLS="tests.projects.django_site.ledger.urls",
            CLOUDQ_URL=stand.url,
            **stand.environment,
        )

    def run(self, *words: str) -> None:
        """A program to its end."""
        done = self._start(*words)
        try:
            assert done.wait(240) == 0, (self._folder / "log").read_text()
        finally:
            end(done)

    @contextmanager
    def running_tasks(self) -> Iterator[None]:
        """A worker, or where the backend pushes the project's own server."""
        if not self._url.startswith("cloudtasks:"):
            program = self._start(MANAGE, "cloudq_worker", "--concurrency", "4", "--wait", "1")
        else:
            address = self._url.partition("target=http://")[2].partition("/")[0]
            program = self._start(MANAGE, "runserver", "--noreload", "--skip-checks", address)
            wait_until(lambda: _answers(f"http://{address}/tasks/healthz"), within=60, what="the server answers")
        try:
            yield
        finally:
            end(program)

    def numbers(self, table: str) -> set[int]:
        """What is in one of the ledger's tables."""
        with closing(sqlite3.connect(self._folder / "site.db", timeout=60)) as database:
            return {number for (number,) in database.execute(f"select number from ledger_{table}")}  # noqa: S608

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *words],
                env=self._environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - ours
        return bool(response.status == 200)
    return False


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's database, migrated once for all."""
    folder = tmp_path_factory.mktemp("django")
    Project(folder, Stand("memory://", "", {}), OUTBOX).run(MANAGE, "migrate", "-v0")
    return folder / "site.db"


@pytest.fixture
def project(migrated: Path, tmp_path: Path) -> Callable[..., Project]:
    """Makes one."""
    shutil.copy(migrated, tmp_path / "site.db")
    return lambda stand, apps=APPS: Project(tmp_path, stand, apps)


@pytest.mark.parametrize("backend", sized(["sqs_stand", "service_bus", "cloud_tasks"], [*BACKENDS, "cloud_tasks"]))
def test_exactly_what_was_committed_runs(
    backend: str, project: Callable[..., Project], request: pytest.FixtureRequest
) -> None:
    """Each call is within a transaction, and a third of them is rolled back. On SQLite the next tests show it, too."""
    site = project(request.getfixturevalue(backend))
    site.run(MANAGE, "ledger_send", "--calls", str(CALLS))
    committed = {number for number in range(CALLS) if number % 3}
    assert committed == site.numbers("entry")
    with site.running_tasks():
        wait_until(lambda: committed <= site.numbers("run"), within=200, what="all of them have run")
    assert committed == site.numbers("run")


def test_a_crash_after_the_commit_loses_what_only_the_process_knows(
    project: Callable[..., Project], sqlite: Stand, record_property: Callable[[str, object], None]
) -> None:
    """Without an outbox: one message for each crash between the commit and the callback, and no other."""
    site = project(sqlite)
    site.run(MANAGE, "ledger_send", "--calls", str(CALLS), "--crashes", str(CRASHES))
    site.run(MANAGE, "cloudq_worker", "--burst")
    lost = site.numbers("entry") - site.numbers("run")
    record_property("lost", len(lost))
    assert set(range(CALLS, CALLS + CRASHES)) == lost


def test_a_crash_after_the_commit_loses_nothing_with_the_outbox(
    project: Callable[..., Project], sqlite: Stand, tmp_path: Path
) -> None:
    """What was committed is in the database, beside its row."""
    site = project(sqlite, OUTBOX)
    site.run(MANAGE, "ledger_send", "--calls", str(CALLS), "--crashes", str(CRASHES))
    site.run("-m", "cloudq", "outbox", "relay", "--once", "--outbox", f"sqlite:///{tmp_path}/site.db")
    site.run(MANAGE, "cloudq_worker", "--burst")
    assert site.numbers("entry") == site.numbers("run")
    assert CRASHES + len([number for number in range(CALLS) if number % 3]) == len(site.numbers("run"))
