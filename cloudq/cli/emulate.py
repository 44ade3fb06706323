"""`cloudq emulate`: hosted queues on this machine, for development."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Final

from cloudq.cli.options import Debug, queue_name
from cloudq.cli.output import note, write
from cloudq.cli.parameters import Option
from cloudq.core.message import FIFO_SUFFIX
from cloudq.errors import ConfigurationError, OptionError

if TYPE_CHECKING:
    from cloudq.emulators.service_bus.runner import ServiceBusEmulator

CLOUD_TASKS_EXAMPLES: Final = (
    "cloudq emulate cloudtasks",
    "cloudq emulate cloudtasks --relaxed --queue emails --queue projects/shop/locations/europe-west1/queues/reports",
    "cloudq emulate cloudtasks --port 9000 --certs-port 9001",
)
SERVICE_BUS_EXAMPLES: Final = (
    "cloudq emulate servicebus --queue default --queue orders.fifo",
    "cloudq emulate servicebus --config Config.json --port 5672 --admin-port 5300",
)
_HIGHEST_PORT: Final = 65535


def cloudtasks(
    *,
    host: Annotated[str, Option("--host", metavar="HOST", help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, Option("--port", metavar="N", min=0, max=_HIGHEST_PORT, help="For calls. 0: any that is free.")
    ] = 8123,
    certs_port: Annotated[
        int,
        Option(
            "--certs-port",
            metavar="N",
            min=0,
            max=_HIGHEST_PORT,
            help="For the certificates of the tokens that pushes carry. 0: any that is free.",
        ),
    ] = 8124,
    queue: Annotated[
        list[str] | None,
        Option(
            "--queue",
            metavar="NAME",
            help="Create this queue, with the service's default settings. Repeatable. A name without slashes is one "
            "of --parent.",
        ),
    ] = None,
    parent: Annotated[
        str, Option("--parent", metavar="PROJECT/LOCATION", help="Where queues without slashes are.")
    ] = "dev/local",
    relaxed: Annotated[
        bool,
        Option(
            "--relaxed",
            help="Take what the service would refuse or round: deadlines under 15 seconds, backoffs of fractions of "
            "a second, more than 500 dispatches per second.",
        ),
    ] = False,
    _debug: Debug = False,
) -> None:
    """Run an emulator of Google Cloud Tasks until Ctrl-C or SIGTERM.

    It keeps everything in memory. Clients that look at CLOUD_TASKS_EMULATOR_HOST use it, cloudq's among them; what to
    export is printed once it listens.
    """
    try:
        from cloudq.emulators.cloud_tasks import VARIABLE, CloudTasksEmulator, PortTaken, Problem, Settings
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the emulator needs the module {error.name!r}, which isn't installed",
            hint="pip install 'cloudq[emulators]'",
        ) from error

    project, _, location = parent.partition("/")
    names = [name if "/" in name else f"projects/{project}/locations/{location}/queues/{name}" for name in queue or []]
    emulator = CloudTasksEmulator(
        settings=Settings(relaxed=relaxed), host=host, port=port, certs_port=certs_port, queues=names
    )
    with _told_to_end() as ended:
        try:
            emulator.start()
        except PortTaken as error:
            raise ConfigurationError(
                str(error), hint="end what listens there, or choose others: --port 0 --certs-port 0 takes free ones"
            ) from error
        except Problem as error:
            raise OptionError(
                f"--queue or --parent: {error.message}",
                hint="--queue emails, or --queue projects/PROJECT/locations/LOCATION/queues/emails",
            ) from error
        try:
            # Data for `source <(...)`, everything else for people.
            write(f"export {VARIABLE}={emulator.address}")
            for name in names:
                write(f"# queue: {name}")
            note(f"certificates: {emulator.certificates_url}, {emulator.key_set_url}; Ctrl-C ends it")
            _wait(ended)
        finally:
            emulator.stop()


def servicebus(
    *,
    port: Annotated[
        int, Option("--port", min=0, max=_HIGHEST_PORT, metavar="PORT", help="For AMQP; 0 is a free one.")
    ] = 5672,
    admin_port: Annotated[
        int,
        Option(
            "--admin-port", min=0, max=_HIGHEST_PORT, metavar="PORT", help="For the administration; 0 is a free one."
        ),
    ] = 5300,
    config: Annotated[
        Path | None,
        Option("--config", metavar="FILE", help="Queues and topics to begin with: Microsoft's Config.json."),
    ] = None,
    queue: Annotated[
        list[str] | None,
        Option(
            "--queue",
            metavar="NAME",
            help="Repeatable: a queue to begin with, as `cloudq queues create` makes it.",
        ),
    ] = None,
    premium: Annotated[
        bool,
        Option("--premium", help="Be a Premium namespace: messages of 1 MiB, and up to 100 MiB where set."),
    ] = False,
    _debug: Debug = False,
) -> None:
    """Run an Azure Service Bus on this machine until Ctrl-C or SIGTERM.

    Its messages are in memory, it checks no keys, and it listens on 127.0.0.1 only.
    """
    emulator = _service_bus(port, admin_port, config, [queue_name(name) for name in queue or []], premium=premium)
    with _told_to_end() as ended:
        try:
            try:
                emulator.start()
            except OSError as error:
                raise ConfigurationError(
                    f"the emulator can't listen on one of its ports: {error.strerror or error}",
                    hint="another one may be running; --port 0 --admin-port 0 takes free ones",
                ) from error
            # Data for `source <(...)`, everything else for people.
            write(f"export CLOUDQ_SERVICEBUS_CONNECTION_STRING='{emulator.connection_string}'")
            write(f"export CLOUDQ_URL='servicebus://?admin_endpoint={emulator.admin_url}'")
            note(f"administration (plain HTTP): {emulator.admin_url}; Ctrl-C ends it")
            _wait(ended)
        finally:
            emulator.stop()


@contextmanager
def _told_to_end() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set within the block; afterwards the earlier handlers are back."""
    ended = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(ended: threading.Event) -> None:
    # On some systems a wait without an end can't be interrupted by a signal.
    while not ended.wait(60):
        pass


def _service_bus(
    port: int, admin_port: int, config: Path | None, queues: list[str], *, premium: bool
) -> ServiceBusEmulator:
    from cloudq.emulators.service_bus.broker.api import BrokerError
    from cloudq.emulators.service_bus.broker.settings import MAX_LOCK, QueueSettings
    from cloudq.emulators.service_bus.config import ConfigError, load_config
    from cloudq.emulators.service_bus.runner import ServiceBusEmulator

    try:
        loaded = load_config(config) if config is not None else None
        emulator = ServiceBusEmulator(port=port, admin_port=admin_port, config=loaded, premium=premium)
        for name in queues:
            # What `cloudq queues create` asks of the service.
            settings = QueueSettings(
                requires_session=name.endswith(FIFO_SUFFIX),
                lock_duration=MAX_LOCK,
                max_delivery_count=100,
                dead_letter_on_expiration=True,
                max_message_size=emulator.broker.tier.message_size,
            )
            emulator.broker.entities.create_queue(name, settings)
    except (ConfigError, BrokerError) as error:
        raise ConfigurationError(str(error)) from error
    except ModuleNotFoundError as error:
        if error.name != "uvicorn":
            raise
        raise ConfigurationError(
            "the administration of the emulator needs uvicorn", hint="pip install 'cloudq[emulators]'"
        ) from error
    return emulator
