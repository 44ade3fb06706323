"""A memory driver with chosen capabilities, and short words for what is done to it."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from cloudq.core.delivery import Delivery
from cloudq.core.driver import (
    Ack,
    Capabilities,
    Final,
    NativeDeadLetter,
    Outgoing,
    Release,
)
from cloudq.drivers.memory import MemoryDriver
from cloudq.testing.clock import FakeClock

ZERO = timedelta(0)
MINUTE = timedelta(minutes=1)
BARE = Capabilities(max_batch=2, max_body=100)


def driver_with(**changes: object) -> MemoryDriver:
    capabilities = replace(BARE, **changes)
    return MemoryDriver(clock=FakeClock(), capabilities=lambda _: capabilities)


def item(id_: str = "1", *, queue: str = "q", **changes: object) -> Outgoing:
    return replace(Outgoing(id=id_, queue=queue, body=b"{}"), **changes)


def send(driver: MemoryDriver, *items: Outgoing) -> list[Exception | None]:
    return [result.error for result in driver.send(items)]


def receive(driver: MemoryDriver, *, limit: int = 10, lease: timedelta = MINUTE) -> list[Delivery]:
    return list(driver.receive("q", limit=limit, wait=ZERO, lease=lease))


def leased(driver: MemoryDriver, **changes: object) -> Delivery:
    assert send(driver, item(**changes)) == [None]
    (delivery,) = receive(driver)
    return delivery


def settle(driver: MemoryDriver, delivery: Delivery, step: Ack | Release | NativeDeadLetter) -> Exception | None:
    (result,) = driver.settle([Final(lease=delivery.lease, step=step)])
    return result.error
