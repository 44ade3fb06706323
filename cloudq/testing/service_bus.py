"""An Azure Service Bus for a test run: the emulator, or the one that an environment variable names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from cloudq.emulators.service_bus.runner import ServiceBusEmulator

CONNECTION_STRING: Final = "CLOUDQ_TEST_SERVICEBUS_CONNECTION_STRING"
ADMIN_URL: Final = "CLOUDQ_TEST_SERVICEBUS_ADMIN_URL"


class ServiceBus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a test finds its Service Bus.

    Attributes:
        connection_string: For azure-servicebus. It isn't in the repr.
        admin_url: Where its administration answers, for the URL's `admin_endpoint`; `None` if that isn't known.
        emulator: The emulator, to make queues and faults with; `None` if another Service Bus is used, whose queues have
            to be there.
    """

    connection_string: str
    admin_url: str | None = None
    emulator: ServiceBusEmulator | None = None

    def __repr__(self) -> str:
        return f"ServiceBus(admin_url={self.admin_url!r}, emulator={self.emulator is not None})"


@contextmanager
def service_bus() -> Iterator[ServiceBus]:
    """The Service Bus that `CLOUDQ_TEST_SERVICEBUS_CONNECTION_STRING` names, else an emulator within the block."""
    given = os.environ.get(CONNECTION_STRING)
    if given:
        yield ServiceBus(connection_string=given, admin_url=os.environ.get(ADMIN_URL))
        return
    from cloudq.emulators.service_bus.runner import ServiceBusEmulator

    with ServiceBusEmulator() as emulator:
        yield ServiceBus(connection_string=emulator.connection_string, admin_url=emulator.admin_url, emulator=emulator)
