"""Where `cloudq demo` has its hosted queues: emulators in this process, and the worker that fits them."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from cloudq.errors import ConfigurationError

if TYPE_CHECKING:
    from cloudq.app import App
    from cloudq.running.events import Finished

CONCURRENCY: Final = 8
GRACE: Final = timedelta(seconds=5)
_LOOPBACK: Final = "127.0.0.1"
_PROJECT: Final = ("demo-project", "europe-west1")
_ACCOUNT: Final = "pusher@demo-project.iam.gserviceaccount.com"


class Runs(Protocol):
    """A worker of either kind."""

    def run(self) -> int:
        """Works until it is stopped. Returns the exit code."""
        ...

    def stop(self) -> None:
        """Has it end."""
        ...


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A hosted queue on this machine.

    Attributes:
        service: What is emulated.
        how: What the worker does there, in words.
        url: The backend's.
        ordered: Whether it has queues that keep an order.
        worker: Makes a worker, given the function to call for each task that has ended.
        pause: Has nothing pushed until there is a worker again.
    """

    service: str
    how: str
    url: str
    ordered: bool
    worker: Callable[[App, Callable[[Finished], None]], Runs]
    pause: Callable[[], None]


@contextmanager
def service_bus() -> Iterator[Place]:
    """Azure Service Bus: the worker polls.

    Raises:
        ConfigurationError: What it needs isn't installed.
    """
    try:
        import azure.servicebus  # noqa: F401 - asked for here, where there is a word to say about it

        from cloudq.emulators.service_bus.runner import ServiceBusEmulator

        emulator = ServiceBusEmulator()
    except ModuleNotFoundError as error:
        raise _not_installed("servicebus", error) from error

    def worker(app: App, ended: Callable[[Finished], None]) -> Runs:
        from cloudq.worker.service import Worker
        from cloudq.worker.settings import WorkerSettings

        return Worker(app, WorkerSettings(concurrency=CONCURRENCY, grace=GRACE), on_event=ended)

    with emulator, _environment({"CLOUDQ_SERVICEBUS_CONNECTION_STRING": emulator.connection_string}):
        yield Place(
            service="Azure Service Bus",
            how=f"a worker that polls, {CONCURRENCY} tasks at once",
            url=f"servicebus://?admin_endpoint={emulator.admin_url}",
            ordered=True,
            worker=worker,
            pause=_nothing,
        )


@contextmanager
def cloud_tasks() -> Iterator[Place]:
    """Google Cloud Tasks: it pushes to the worker, with tokens that the worker verifies.

    Raises:
        ConfigurationError: What it needs isn't installed.
    """
    try:
        import google.auth  # noqa: F401 - asked for here, where there is a word to say about it
        import uvicorn  # noqa: F401 - asked for here, where there is a word to say about it

        from cloudq.cli.demo.shop import PLAIN
        from cloudq.emulators.cloud_tasks import VARIABLE, CloudTasksEmulator
        from cloudq.push.server import PushWorker, ServerSettings
        from cloudq.push.settings import PushSettings
    except ModuleNotFoundError as error:
        raise _not_installed("cloudtasks", error) from error
    port = _free_port()
    target = f"http://{_LOOPBACK}:{port}/"
    project, location = _PROJECT

    with CloudTasksEmulator() as emulator, _environment({VARIABLE: emulator.address}):
        client = emulator.client()
        queue = client.queue_path(project, location, PLAIN)

        def worker(app: App, ended: Callable[[Finished], None]) -> Runs:
            # The emulator has many pushes in flight; those that wait too long would be refused and come again.
            settings = PushSettings(concurrency=CONCURRENCY, waiting=1000, certificates_url=emulator.certificates_url)
            made = PushWorker(app, settings, ServerSettings(port=port, grace=GRACE), on_event=ended)
            client.resume_queue(name=queue)
            return made

        def pause() -> None:
            # A push that reaches no worker is repeated after longer and longer pauses.
            client.pause_queue(name=queue)

        yield Place(
            service="Google Cloud Tasks",
            how=f"pushed to a worker that verifies the OIDC token of each push, {CONCURRENCY} tasks at once",
            url=f"cloudtasks://{project}/{location}?target={target}&service_account={_ACCOUNT}",
            ordered=False,
            worker=worker,
            pause=pause,
        )


PLACES: Final = {"servicebus": service_bus, "cloudtasks": cloud_tasks}


def _nothing() -> None: ...


def _free_port() -> int:
    with closing(socket.create_server((_LOOPBACK, 0))) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """With these variables set, which SDKs and drivers read; afterwards they are as they were."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _not_installed(extra: str, error: ModuleNotFoundError) -> ConfigurationError:
    return ConfigurationError(
        f"the demo on {extra} needs the module {error.name!r}", hint=f"pip install 'cloudq[{extra},emulators]'"
    )
