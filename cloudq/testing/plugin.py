"""The pytest plugin: its fixtures. Loaded by pytest wherever cloudq is installed, so it imports nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloudq.app import App
    from cloudq.emulators.cloud_tasks import CloudTasksEmulator
    from cloudq.testing.service_bus import ServiceBus

INI: str = "cloudq_app"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the ini option that names the app."""
    parser.addini(
        INI, "the App of the fixture cloudq_app, as module or module:attribute; without it, the default App", default=""
    )


@pytest.fixture
def cloudq_app(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """The app under test, in memory, on a clock that stands still.

    It is the one that the ini option `cloudq_app` names (`shop.tasks:app`), else the default App. See
    `cloudq.testing.run_all` and `cloudq.testing.sent` for what to do with it.
    """
    from cloudq.testing.memory import in_memory

    # Undone after the test, together with what the loading adds: the import path is the user's.
    monkeypatch.syspath_prepend(str(pytestconfig.rootpath))
    with in_memory(_app(pytestconfig)) as app:
        yield app


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


def _app(config: pytest.Config) -> App:
    from cloudq.default_app import default
    from cloudq.discovery import load_app
    from cloudq.errors import CloudqError

    spec = str(config.getini(INI)).strip()
    if not spec:
        return default
    try:
        return load_app(spec)
    except CloudqError as error:
        pytest.fail(f"the ini option {INI} = {spec}: {error}", pytrace=False)
