"""The pytest plugin, in test runs of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SHOP = """
import cloudq

app = cloudq.App("nobodys://backend")
stock = []

@app.task("shop.order")
def order(n: int) -> None:
    stock.append(n)
    if n == 0:
        raise cloudq.DeadLetter("nothing to order")
"""

TESTS = """
from shop import tasks
from cloudq.testing import run_all, sent

def test_one(cloudq_app):
    assert cloudq_app is tasks.app
    tasks.order.send(1)
    tasks.order.send(0)
    assert [message.payload["n"] for message in sent(cloudq_app)] == [1, 0]
    report = run_all(cloudq_app)
    assert [dead.failure.reason for dead in report.dead_letters] == ["nothing to order"]
    assert tasks.stock == [1, 0]

def test_another_starts_empty(cloudq_app):
    assert sent(cloudq_app) == []

def test_without_the_fixture_the_app_is_as_it_was():
    assert not tasks.app.is_open
"""

DEFAULT = """
import cloudq
from cloudq.default_app import default
from cloudq.testing import run_all

@cloudq.task("t")
def task(): ...

def test_one(cloudq_app):
    assert cloudq_app is default
    task.send()
    assert run_all(cloudq_app).tasks == ["t"]
"""


def pytest_run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A pytest of its own in the folder; warnings are errors."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDQ_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def project(tmp_path) -> Path:
    """A project with a package of tasks and tests of them."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text("")
    (tmp_path / "shop" / "tasks.py").write_text(SHOP)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_shop.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\ncloudq_app = shop.tasks:app\npythonpath = .\n")
    return tmp_path


def test_the_fixture_gives_the_app_that_the_ini_option_names(project):
    """In memory, empty for each test, and as it was without the fixture."""
    result = pytest_run(project)
    assert "3 passed" in result.stdout, result.stdout


def test_it_is_found_from_the_projects_root_wherever_pytest_is_started(project):
    """A run in a folder below finds the same app."""
    result = pytest_run(project / "tests")
    assert "3 passed" in result.stdout, result.stdout


@pytest.mark.parametrize("layout", ["pyproject.toml", "option"])
def test_the_option_is_read_wherever_pytest_reads_options(project, layout):
    """From pyproject.toml, or from the command line by `-o`."""
    (project / "pytest.ini").unlink()
    (project / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\npythonpath = ["."]\n'
        + ('cloudq_app = "shop.tasks"\n' if layout != "option" else "")
    )
    options = ("-o", "cloudq_app=shop.tasks:app") if layout == "option" else ()
    result = pytest_run(project, *options)
    assert "3 passed" in result.stdout, result.stdout


def test_without_the_option_it_is_the_default_app(tmp_path):
    """For programs that use `@cloudq.task`."""
    (tmp_path / "test_it.py").write_text(DEFAULT)
    result = pytest_run(tmp_path)
    assert "1 passed" in result.stdout, result.stdout


def test_an_app_that_cannot_be_had_is_an_error_in_words(project):
    """The option, what is wrong, and no traceback through the library."""
    result = pytest_run(project, "-o", "cloudq_app=shop.tasks:nobody")
    assert "the ini option cloudq_app = shop.tasks:nobody: shop.tasks:nobody is no App" in result.stdout, result.stdout
    assert "discovery.py" not in result.stdout
    assert "2 errors" in result.stdout


def test_the_import_path_is_the_users(project):
    """What the loading of the app adds to it is taken back after the test."""
    (project / "tests" / "test_shop.py").write_text(
        "import sys\nbefore = list(sys.path)\n"
        "def test_one(cloudq_app): ...\n"
        "def test_two():\n    assert sys.path == before\n"
    )
    result = pytest_run(project)
    assert "2 passed" in result.stdout, result.stdout


CLOUD_TASKS = """
import os
import pytest
from cloudq.emulators.cloud_tasks import CloudTasksEmulator

QUEUE = "projects/p/locations/l/queues/q"

@pytest.mark.parametrize("turn", [1, 2])
def test_it_is_there_and_empty(cloudq_cloud_tasks: CloudTasksEmulator, turn: int):
    assert os.environ["CLOUD_TASKS_EMULATOR_HOST"] == cloudq_cloud_tasks.address
    cloudq_cloud_tasks.create_queue(QUEUE)
    assert cloudq_cloud_tasks.client().get_queue(name=QUEUE).name == QUEUE

def test_afterwards_it_is_gone():
    assert "CLOUD_TASKS_EMULATOR_HOST" not in os.environ
"""


def test_the_cloud_tasks_emulator_is_a_fixture(tmp_path):
    """A fresh one for each test, which the environment names as long as the test runs."""
    (tmp_path / "test_it.py").write_text(CLOUD_TASKS)
    result = pytest_run(tmp_path)
    assert "3 passed" in result.stdout, result.stdout


@pytest.mark.parametrize(("fixture", "missing"), [("cloudq_cloud_tasks", "aiohttp"), ("cloudq_service_bus", "uvicorn")])
def test_without_its_packages_an_emulator_says_what_to_install(tmp_path, fixture, missing):
    """The fixture names what is missing, and the extra that brings it."""
    (tmp_path / "conftest.py").write_text(f"import sys\nsys.modules['{missing}'] = None\n")
    (tmp_path / "test_it.py").write_text(f"def test_it({fixture}): ...\n")
    result = pytest_run(tmp_path)
    assert f"{fixture} needs {missing}: pip install 'cloudq[emulators]'" in result.stdout, result.stdout


def test_the_fixture_and_the_option_are_documented(project):
    """`pytest --fixtures` and `pytest --help` explain them."""
    assert "The app under test, in memory" in pytest_run(project, "--fixtures").stdout
    assert "the App of the fixture cloudq_app" in pytest_run(project, "--help").stdout


def test_a_run_without_the_fixture_loads_nothing_of_the_library(tmp_path):
    """Wherever cloudq is installed pytest loads the plugin, so it must cost nothing."""
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_it():\n"
        "    ours = sorted(name for name in sys.modules if name.startswith('cloudq'))\n"
        "    assert ours == ['cloudq', 'cloudq.testing', 'cloudq.testing.plugin']\n"
    )
    result = pytest_run(tmp_path)
    assert "1 passed" in result.stdout, result.stdout


def test_coverage_of_the_users_code_is_measured_whole(project):
    """The app's modules are imported after the measuring began: declarations count as run."""
    result = pytest_run(project, "--cov=shop", "--cov-report=term-missing")
    lines = [line for line in result.stdout.splitlines() if line.startswith("shop/tasks.py")]
    assert ["100%"] == [line.split()[3] for line in lines], result.stdout


def test_asynchronous_sends_leave_no_thread_that_fails(project):
    """A flusher thread that outlives its test raises nothing on a clock that stands still."""
    (project / "tests" / "test_shop.py").write_text(
        "import asyncio\nfrom shop import tasks\n"
        "def test_one(cloudq_app):\n"
        "    asyncio.run(tasks.order.asend(1))\n"
        "def test_two():\n"
        "    import threading\n"
        "    for thread in threading.enumerate():\n"
        "        if thread.name.startswith('cloudq-send'):\n"
        "            thread.join(20)\n"
        "            assert not thread.is_alive()\n"
    )
    result = pytest_run(project)
    assert "2 passed" in result.stdout, result.stdout
