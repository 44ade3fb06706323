"""The pytest plugin: its fixtures, and the guard of the test run.

Loaded by pytest wherever cloudq is installed, so it imports next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cloudq.queues.before_opening import add_look, remove_look

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cloudq.app import App
    from cloudq.emulators.cloud_tasks import CloudTasksEmulator
    from cloudq.testing.guard import Guard
    from cloudq.testing.redelivery import Check
    from cloudq.testing.service_bus import ServiceBus

INI: str = "cloudq_app"
REAL: str = "cloudq_real_backends"
ALLOWED: str = "cloudq_allow_real"
SEEDS: str = "cloudq_redelivery_seeds"
_GUARD = pytest.StashKey["_LazyGuard"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the ini options."""
    parser.addini(
        INI,
        "the App of the fixture cloudq_app, as module or module:attribute; without it, the one that has tasks",
        default="",
    )
    parser.addini(
        REAL, "what it is that a test opens a backend that isn't for tests: warn (default), or error", default="warn"
    )
    parser.addini(
        ALLOWED, "URLs of backends that tests may open all the same, with * and ?, one a line", type="linelist"
    )
    parser.addini(SEEDS, "how many schedules the fixture cloudq_redelivery tries for each check", default="200")
    parser.getgroup("cloudq").addoption(
        "--cloudq-seed", type=int, metavar="N", help="the one schedule that the fixture cloudq_redelivery tries"
    )


def pytest_configure(config: pytest.Config) -> None:
    """From now on each backend that is opened by its URL is checked."""
    config.addinivalue_line("markers", f"{ALLOWED}: this test may open a backend that isn't for tests (cloudq)")
    if config.getini(REAL) not in {"warn", "error"}:
        raise pytest.UsageError(f"the ini option {REAL} is {config.getini(REAL)!r}, neither warn nor error")
    guard = config.stash[_GUARD] = _LazyGuard(config)
    add_look(guard.look)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The test run is over."""
    guard = config.stash.get(_GUARD, None)
    if guard is not None:
        remove_look(guard.look)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test that is marked may open any backend, its set-up and tear-down included."""
    if item.get_closest_marker(ALLOWED) is None:
        return (yield)
    from cloudq.testing.guard import allow_real

    with allow_real():
        return (yield)


class _LazyGuard:
    """The guard, made at the first look: most test runs of most projects open no backend."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._guard: Guard | None = None

    def look(self, opener: object, url: str) -> None:
        """See `Guard.look`."""
        if self._guard is None:
            from cloudq.testing.guard import Guard

            self._guard = Guard(
                self._config.getini(ALLOWED),
                is_error=self._config.getini(REAL) == "error",
                temporary=self._temporary_folders,
            )
        self._guard.look(opener, url)

    def _temporary_folders(self) -> list[Path]:
        # pytest gives it to fixtures only, and a backend is opened outside of them, too.
        factory: pytest.TempPathFactory | None = getattr(self._config, "_tmp_path_factory", None)
        if factory is None:
            return []
        folder = factory.getbasetemp()
        # pytest-xdist's workers have theirs in one of the whole run, where they share files.
        return [folder, folder.parent] if hasattr(self._config, "workerinput") else [folder]


@pytest.fixture
def cloudq_app(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """The app under test, in memory, on a clock that stands still.

    It is the one that the ini option `cloudq_app` names (`shop.tasks:app`), else the only one that has tasks, else the
    default App. Without the option every other App is in memory as well. See `cloudq.testing.run_all` and
    `cloudq.testing.sent` for what to do with it.
    """
    from contextlib import ExitStack
    from datetime import UTC, datetime

    from cloudq.testing.clock import FakeClock
    from cloudq.testing.memory import in_memory

    # Undone after the test, together with what the loading adds: the import path is the user's.
    monkeypatch.syspath_prepend(str(pytestconfig.rootpath))
    under_test, others = _apps(pytestconfig)
    with ExitStack() as stack:
        clock = FakeClock(datetime.now(UTC))
        app = stack.enter_context(in_memory(under_test, clock=clock))
        for other in others:
            stack.enter_context(in_memory(other, clock=clock))
        yield app


@pytest.fixture
def cloudq_redelivery(pytestconfig: pytest.Config) -> Callable[[Check], None]:
    """Proves that tasks may run twice: call it with a `cloudq.testing.redelivery.Check`, in a test.

    It raises `NotIdempotent`, with the smallest schedule that was found after which the state differs. The ini option
    `cloudq_redelivery_seeds` says how many schedules are tried (200); `--cloudq-seed N` tries the one that a finding
    names.
    """
    seed = pytestconfig.getoption("--cloudq-seed")
    count = str(pytestconfig.getini(SEEDS))
    if not count.isdecimal() or not int(count):
        raise pytest.UsageError(f"the ini option {SEEDS} is {count!r}, not a number from 1")
    seeds = range(int(count)) if seed is None else [seed]
    return lambda check: check.prove(seeds)


@pytest.fixture(scope="session")
def cloudq_service_bus() -> Iterator[ServiceBus]:
    """An Azure Service Bus for the whole test run, on this machine: `cloudq.testing.service_bus.ServiceBus`.

    It is an emulator, or what `CLOUDQ_TEST_SERVICEBUS_CONNECTION_STRING` names.
    """
    from contextlib import ExitStack

    from cloudq.testing.service_bus import service_bus

    with ExitStack() as stack:
        try:
            found = stack.enter_context(service_bus())
        except ModuleNotFoundError as error:
            pytest.fail(f"cloudq_service_bus needs {error.name}: pip install 'cloudq[emulators]'", pytrace=False)
        yield found


@pytest.fixture
def cloudq_cloud_tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudTasksEmulator]:
    """An emulator of Google Cloud Tasks, relaxed and empty, that CLOUD_TASKS_EMULATOR_HOST names during the test.

    It needs `pip install cloudq[emulators]`. For the service's own strictness, or for a clock that your test moves,
    make a `cloudq.emulators.cloud_tasks.CloudTasksEmulator` of your own.
    """
    try:
        from cloudq.emulators.cloud_tasks import CloudTasksEmulator, Settings
    except ModuleNotFoundError as error:
        pytest.fail(f"cloudq_cloud_tasks needs {error.name}: pip install 'cloudq[emulators]'", pytrace=False)
    with CloudTasksEmulator(settings=Settings(relaxed=True)) as emulator:
        for name, value in emulator.environment.items():
            monkeypatch.setenv(name, value)
        yield emulator


def _apps(config: pytest.Config) -> tuple[App, list[App]]:
    """The App under test, and those that mustn't reach their backends meanwhile."""
    import gc

    from cloudq.app import living_apps
    from cloudq.default_app import default

    spec = str(config.getini(INI)).strip()
    if spec:
        return _named_app(spec), []
    if sum(1 for app in living_apps if app.tasks) > 1:
        gc.collect()  # those of earlier tests, which nobody has any longer
    having_tasks = [app for app in living_apps if app.tasks]
    if len(having_tasks) > 1 and default not in having_tasks:
        tasks = ", ".join(sorted(min(app.tasks) for app in having_tasks))
        pytest.fail(
            f"{len(having_tasks)} Apps have tasks (one of each: {tasks}), and which of them is under test isn't said"
            f" (name it in the ini option {INI}, as module:attribute, or use cloudq.testing.in_memory(app))",
            pytrace=False,
        )
    under_test = default if default in having_tasks or not having_tasks else having_tasks[0]
    return under_test, [app for app in living_apps if app is not under_test]


def _named_app(spec: str) -> App:
    from cloudq.discovery import load_app
    from cloudq.errors import CloudqError

    try:
        return load_app(spec)
    except CloudqError as error:
        pytest.fail(f"the ini option {INI} = {spec}: {error}", pytrace=False)
