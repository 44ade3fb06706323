"""What every test starts from."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from cloudq.core.clock import Clock
from cloudq.default_app import default
from cloudq.running.time_limits import ThreadTimeLimits
from cloudq.tasks.hooks import Hooks
from cloudq.tasks.registry import Registry

# Hypothesis' own bounds go by the wall clock, and a busy machine is no fault of a test.
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def no_tasks_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default App is one for the whole process: each test sees it without the tasks that others declared."""
    registry = Registry()
    monkeypatch.setattr(default, "_registry", registry)
    monkeypatch.setattr(default.runtime, "_registry", registry)
    # What a framework's integration puts around them, and has told of their ends.
    monkeypatch.setattr(default.runtime, "edge_middleware", ())
    monkeypatch.setattr(default.runtime, "carried_headers", None)
    monkeypatch.setattr(default, "hooks", Hooks(default.dependencies.close))


@pytest.fixture(autouse=True)
def no_logging_of_other_tests() -> Iterator[None]:
    """A command that is called in this process sets logging up as its own: with its test that ends.

    Its handler would write every other test's lines to a stream that is closed.
    """
    root = logging.getLogger()
    before, level = set(root.handlers), root.level
    yield
    for handler in [handler for handler in root.handlers if handler not in before]:
        if not type(handler).__module__.startswith("_pytest."):  # which has one for each phase of a test
            root.removeHandler(handler)
            root.setLevel(level)


@pytest.fixture(autouse=True)
def no_timers_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ends the threads behind time limits with their test: Lambda and Functions keep theirs until the process ends.

    One that waits on a test's clock would find after a while that nobody moves it, and say so in another test.
    """
    made: list[ThreadTimeLimits] = []
    make = ThreadTimeLimits.__init__

    def recorded(self: ThreadTimeLimits, clock: Clock) -> None:
        make(self, clock)
        made.append(self)

    monkeypatch.setattr(ThreadTimeLimits, "__init__", recorded)
    yield
    for limits in made:
        limits.close()


@pytest.fixture(scope="session")
def django_site() -> None:
    """Django, set up with the project of the tests: it takes one set of settings a process, so all tests share it.

    What a test wants otherwise, it sets by Django's own `override_settings`. The variable that names them stays unset:
    the command line would take any folder for a part of the project, here and in programs that tests start.
    """
    import django
    from django.conf import settings

    if settings.configured:
        pytest.fail("a test of this process has given Django settings of its own: it is to use this fixture instead")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_SETTINGS_MODULE", "tests.projects.django_site.settings")
        django.setup()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuses names of tests that the worker processes couldn't agree on: an address is another one in each."""
    for item in items:
        if " at 0x" in item.nodeid or "\n" in item.nodeid:
            raise pytest.UsageError(f"a test's id has an address or a line end: {item.nodeid!r}")


@pytest.fixture(scope="session")
def localstack(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a LocalStack of this test run. It ends with it, and leaves its log if a test failed."""
    from localstack.start import CREDENTIALS, LocalStack, Unavailable

    runner = LocalStack(services="sqs,s3,scheduler")
    try:
        runner.__enter__()
    except Unavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"LocalStack can't be started: {error}")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        try:
            yield runner.url
        finally:
            runner.keep_log = bool(request.session.testsfailed)
            runner.stop()
    if runner.keep_log:
        print(f"\nLocalStack's log: {runner.log}")


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SQLAlchemy's URL of a PostgreSQL database of this process's own. The server is the whole run's: don't stop it."""
    from tests.servers import databases, shared

    with shared.shared(databases.PostgreSQL, shared.folder_of_run(tmp_path_factory)) as url:
        yield url


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SQLAlchemy's URL of a MariaDB database of this process's own. The server is the whole run's: don't stop it."""
    from tests.servers import databases, shared

    with shared.shared(databases.MariaDB, shared.folder_of_run(tmp_path_factory)) as url:
        yield url


@pytest.fixture(scope="session")
def pgbouncer(postgresql: str) -> Iterator[str]:
    """The URL of `postgresql`'s database through PgBouncer, by transactions."""
    from tests.servers import databases

    server = databases.PgBouncer(postgresql)
    yield server.url
    server.close()
