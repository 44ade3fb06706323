"""Which drivers pause by themselves."""

from __future__ import annotations

from cloudq.core.pausing import Pauser
from cloudq.drivers.cloud_tasks import CloudTasksDriver
from cloudq.drivers.memory import MemoryDriver
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.drivers.sqs import SQSDriver


def test_all_but_amazon_sqs_pause_by_themselves() -> None:
    """It has no such thing: there a flag in the store does it."""
    assert all(issubclass(kind, Pauser) for kind in (MemoryDriver, SQLiteDriver, CloudTasksDriver, ServiceBusDriver))
    assert not issubclass(SQSDriver, Pauser)
