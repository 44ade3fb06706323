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


OWN_APP = """
import cloudq
from cloudq.testing import run_all, sent

app = cloudq.App()
other = cloudq.App()

@app.task("t")
def task(): ...

def test_it_is_the_app_that_has_tasks(cloudq_app):
    assert cloudq_app is app
    task.send()
    assert [message.task for message in sent(cloudq_app)] == ["t"]
    assert run_all(cloudq_app).tasks == ["t"]

def test_every_other_app_is_in_memory_too(cloudq_app):
    other.send("nobodys", {})
    cloudq.send("nobodys", {})
    assert [message.task for message in sent(other)] == ["nobodys"]
    assert other.clock is app.clock

def test_afterwards_none_is():
    assert not app.is_open
    assert not other.is_open
"""


def test_an_app_of_ones_own_needs_no_option(tmp_path):
    """It is the only one that has tasks; whatever else a test sends by stays in memory as well."""
    (tmp_path / "test_it.py").write_text(OWN_APP)
    result = pytest_run(tmp_path, "-p", "no:randomly")
    assert "3 passed" in result.stdout, result.stdout
    assert not list(tmp_path.glob("cloudq.db*"))


def test_which_of_several_apps_is_meant_has_to_be_said(tmp_path):
    """Two with tasks: the fixture names a task of each and the option, rather than guess."""
    (tmp_path / "test_it.py").write_text(
        OWN_APP.replace('@app.task("t")', '@other.task("u")\ndef second(): ...\n\n@app.task("t")')
    )
    result = pytest_run(tmp_path)
    assert "2 Apps have tasks (one of each: t, u)" in result.stdout, result.stdout
    assert "name it in the ini option cloudq_app" in result.stdout


def test_an_app_of_a_test_that_is_over_is_no_second_one(tmp_path):
    """What only a cycle of references keeps alive doesn't count."""
    (tmp_path / "test_it.py").write_text(
        "import gc\nimport cloudq\n"
        "app = cloudq.App()\n@app.task('t')\ndef task(): ...\n"
        "def test_a():\n    gc.disable()\n    own = cloudq.App()\n    own.task('u')(lambda: None)\n    own.me = own\n"
        "def test_b(cloudq_app):\n    assert cloudq_app is app\n"
    )
    result = pytest_run(tmp_path)
    assert "2 passed" in result.stdout, result.stdout


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
        "    hook = ['cloudq.queues', 'cloudq.queues.before_opening']\n"
        "    assert ours == ['cloudq', *hook, 'cloudq.testing', 'cloudq.testing.plugin']\n"
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


REAL = """
import threading
import cloudq
import pytest

app = cloudq.App()

@app.task("t")
def task(): ...

@pytest.fixture(scope="session")
def seeded():
    task.send()

def test_in_a_test():
    task.send()

def test_twice():
    app.close()
    task.send()

def test_in_a_thread():
    raised = []
    def send():
        try:
            cloudq.App("sqlite:///other.db").send("t", {})
        except cloudq.ConfigurationError as error:
            raised.append(error)
    thread = threading.Thread(target=send)
    thread.start()
    thread.join()
    assert not raised

def test_in_a_session_fixture(seeded): ...
"""
HARMLESS = """
import os
import pathlib
import cloudq
import pytest
from cloudq.drivers.memory import MemoryDriver
from cloudq.testing import allow_real

app = cloudq.App()

@app.task("t")
def task(): ...

def test_eager():
    with app.eager():
        task.send()

def test_lent():
    with app.using(MemoryDriver()):
        task.send()

def test_in_memory(cloudq_app):
    task.send()

def test_memory():
    cloudq.App("memory://").send("t", {})

def test_a_file_of_pytest(tmp_path):
    cloudq.App(f"sqlite:///{tmp_path}/q.db").send("t", {})

def test_the_folder_of_pytest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cloudq.App().send("t", {})

@pytest.mark.cloudq_allow_real
def test_marked():
    task.send()
    app.close()

@pytest.fixture(scope="session")
def staging():
    with allow_real():
        task.send()
        yield
        app.close()

def test_of_a_fixture_that_allows_it(staging):
    task.send()

def test_named_in_the_ini_option():
    cloudq.App("sqlite:///allowed-1.db").send("t", {})
"""


def test_a_real_backend_is_warned_of_once_an_app_and_url(tmp_path):
    """In tests, threads and session fixtures; the tests go on, as in the release before."""
    (tmp_path / "test_it.py").write_text(REAL)
    result = pytest_run(tmp_path, "-W", "default")
    assert "4 passed, 2 warnings" in result.stdout, result.stdout
    own, other = (f"{tmp_path}/{name}, which is no backend for tests" for name in ("cloudq.db", "other.db"))
    assert f"test_it.py::test_in_a_test opens sqlite:///{own}" in result.stdout
    assert 1 == result.stdout.count(own)
    assert 1 == result.stdout.count(other)
    assert "the fixture `cloudq_app`" in result.stdout
    assert "test_it.py:16: RealBackendWarning" in result.stdout  # the line that sends, not one of cloudq's


def test_a_setting_makes_it_an_error_now(tmp_path):
    """Nothing is opened, and the error says what to do."""
    (tmp_path / "test_it.py").write_text(REAL)
    result = pytest_run(tmp_path, "-o", "cloudq_real_backends=error")
    assert "3 failed, 1 error" in result.stdout, result.stdout
    assert "ConfigurationError: test_it.py::test_twice opens sqlite://" in result.stdout
    assert not list(tmp_path.glob("*.db*"))


def test_where_warnings_are_errors_it_is_one_each_time(tmp_path):
    """A warning that was raised wasn't seen by whoever comes next."""
    (tmp_path / "test_it.py").write_text(REAL)
    result = pytest_run(tmp_path)
    assert "FAILED test_it.py::test_in_a_test" in result.stdout, result.stdout
    assert "FAILED test_it.py::test_twice" in result.stdout
    assert "ERROR test_it.py::test_in_a_session_fixture" in result.stdout
    assert not list(tmp_path.glob("*.db*"))


@pytest.mark.parametrize("spread", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_what_is_for_tests_is_opened_without_a_word(tmp_path, spread):
    """Memory, lent drivers, eager, pytest's own folders, and what a marker, a fixture or the ini option allows."""
    (tmp_path / "test_it.py").write_text(HARMLESS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\ncloudq_real_backends = error\ncloudq_allow_real =\n    sqlite:///*/allowed-?.db\n"
    )
    result = pytest_run(tmp_path, "--strict-markers", *spread)
    assert "9 passed" in result.stdout, result.stdout
    assert {"cloudq.db", "allowed-1.db"} <= {path.name for path in tmp_path.glob("*.db")}


def test_a_wrong_word_in_the_setting_is_refused(tmp_path):
    """Rather than be taken for the default."""
    result = pytest_run(tmp_path, "-o", "cloudq_real_backends=eror")
    assert "the ini option cloudq_real_backends is 'eror', neither warn nor error" in result.stderr + result.stdout


def test_after_the_run_backends_are_as_they_were(tmp_path):
    """A program that runs pytest in its own process opens what it likes before and afterwards."""
    (tmp_path / "test_it.py").write_text("def test_it(): ...\n")
    (tmp_path / "program.py").write_text(
        "import warnings, pytest, cloudq\nwarnings.simplefilter('error')\n"
        "cloudq.App('sqlite:///q.db').send('t', {})\n"
        "assert pytest.main(['-q', 'test_it.py']) == 0\n"
        "cloudq.App('sqlite:///q.db').send('t', {})\nprint('both')\n"
    )
    ran = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.stdout.endswith("both\n"), ran.stdout + ran.stderr


REDELIVERY = """
import cloudq
import pytest
from cloudq.testing import redelivery

app = cloudq.App("nobodys://backend")
stock, orders = [], set()

@app.task("shop.order")
def order(n: int) -> None:
    stock.append(n)

@app.task("shop.once")
def once(n: int) -> None:
    orders.add(n)

def test_may_run_twice(cloudq_redelivery):
    cloudq_redelivery(redelivery.Check(once.call(n=1), state=lambda: set(orders), reset=orders.clear))

def test_must_not_run_twice(cloudq_redelivery):
    cloudq_redelivery(redelivery.Check(order.call(n=1), state=lambda: list(stock), reset=stock.clear))
"""


def test_a_redelivery_that_has_another_effect_fails_its_test(tmp_path):
    """With the finding as the error; the backend isn't opened."""
    (tmp_path / "test_it.py").write_text(REDELIVERY)
    result = pytest_run(tmp_path, "-o", "cloudq_redelivery_seeds=20")
    assert "1 failed, 1 passed" in result.stdout, result.stdout
    assert "shop.order has another effect if it is delivered twice" in result.stdout
    assert "FAILED test_it.py::test_must_not_run_twice" in result.stdout


def test_a_seed_is_tried_alone(tmp_path):
    """The one that a finding names. Seed 2 is a crash before the first line, which makes no difference."""
    (tmp_path / "test_it.py").write_text(REDELIVERY)
    assert "1 failed, 1 passed" in pytest_run(tmp_path, "--cloudq-seed", "0").stdout
    assert "2 passed" in pytest_run(tmp_path, "--cloudq-seed", "2").stdout


def test_a_number_of_seeds_that_is_none_is_refused(tmp_path):
    """Rather than that nothing is tried."""
    (tmp_path / "test_it.py").write_text(REDELIVERY)
    result = pytest_run(tmp_path, "-o", "cloudq_redelivery_seeds=0")
    assert "the ini option cloudq_redelivery_seeds is '0', not a number from 1" in result.stdout, result.stdout
