"""Faults on purpose, as the SDK sees them."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Iterator
from datetime import timedelta

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceiver
from azure.servicebus.exceptions import (
    MessageLockLostError,
    ServiceBusAuthenticationError,
    ServiceBusError,
    ServiceBusServerBusyError,
)

from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.dialect.faults import FaultPoint, Faults
from cloudq.emulators.service_bus.runner import ServiceBusEmulator

pytestmark = pytest.mark.slow


@pytest.fixture
def faults(emulator: ServiceBusEmulator) -> Faults:
    return emulator.faults


@pytest.fixture(autouse=True)
def sockets_that_the_sdk_forgets() -> Iterator[None]:
    """The SDK doesn't close the sockets of connections that broke."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


def bodies(emulator: ServiceBusEmulator, queue: str) -> int:
    return len(emulator.call(emulator.broker.peek, Address(queue), 1, 100))


def received(receiver: ServiceBusReceiver) -> object:
    (message,) = receiver.receive_messages(max_wait_time=60)
    return message


def test_dropped_connections(
    emulator: ServiceBusEmulator, client: ServiceBusClient, faults: Faults, queue: str
) -> None:
    """A connection that is cut is an error to its client, which then opens a new one; the message is still there."""
    with client.get_queue_sender(queue) as sender, client.get_queue_receiver(queue) as receiver:
        sender.send_messages(ServiceBusMessage("a"))
        message = received(receiver)
        faults.drop_connections()
        with pytest.raises(ServiceBusError):
            receiver.complete_message(message)
    assert 1 == bodies(emulator, queue)
    with client.get_queue_sender(queue) as sender:
        sender.send_messages(ServiceBusMessage("b"))
    assert 2 == bodies(emulator, queue)


def test_dropped_after_some_transfers(
    emulator: ServiceBusEmulator, client: ServiceBusClient, faults: Faults, queue: str
) -> None:
    """The connection is cut with the transfer that is one too many, which isn't stored."""
    with client.get_queue_sender(queue) as sender:
        sender.send_messages(ServiceBusMessage("a"))
        faults.drop_after(1)
        sender.send_messages(ServiceBusMessage("b"))
        with pytest.raises(ServiceBusError):
            sender.send_messages(ServiceBusMessage("c"))
        sender.send_messages(ServiceBusMessage("d"))
    assert 3 == bodies(emulator, queue)


def test_dropped_while_receiving(
    emulator: ServiceBusEmulator, client: ServiceBusClient, faults: Faults, queue: str
) -> None:
    """A transfer to the client counts, too: the message is locked, and lost to nobody."""
    with client.get_queue_sender(queue) as sender:
        sender.send_messages(ServiceBusMessage("a"))
    faults.drop_after(0)
    with client.get_queue_receiver(queue) as receiver, pytest.raises(ServiceBusError):
        receiver.receive_messages(max_wait_time=60)
    assert 1 == bodies(emulator, queue)


def impatient(receiver: ServiceBusReceiver) -> None:
    """Lets it wait 0.3 s, not 60, for what became of a settlement; then it asks `$management` for it."""
    receiver._config.timeout = 0.3


def test_settlements_whose_answer_is_lost(
    emulator: ServiceBusEmulator, client: ServiceBusClient, faults: Faults, queue: str
) -> None:
    """A settlement may be done without the client hearing of it: asking again, it is told that the lock is lost."""
    with client.get_queue_sender(queue) as sender, client.get_queue_receiver(queue) as receiver:
        sender.send_messages(ServiceBusMessage("a"))
        message = received(receiver)
        impatient(receiver)
        faults.lose_settlements(applied=True, times=1)
        with pytest.raises(MessageLockLostError):
            receiver.complete_message(message)
        assert 0 == bodies(emulator, queue)


def test_settlements_that_are_lost(
    emulator: ServiceBusEmulator, client: ServiceBusClient, faults: Faults, queue: str
) -> None:
    """A settlement may get lost before it is done: asking again settles."""
    with client.get_queue_sender(queue) as sender, client.get_queue_receiver(queue) as receiver:
        sender.send_messages(ServiceBusMessage("a"))
        message = received(receiver)
        impatient(receiver)
        faults.lose_settlements(applied=False, times=1)
        receiver.complete_message(message)
        assert 0 == bodies(emulator, queue)


def test_failures(client: ServiceBusClient, faults: Faults, queue: str) -> None:
    """Operations fail with the error that was ordered, as often as ordered, without being done."""
    with client.get_queue_sender(queue) as sender, client.get_queue_receiver(queue) as receiver:
        faults.fail(FaultPoint.SEND, "com.microsoft:server-busy", times=1)
        with pytest.raises(ServiceBusServerBusyError):
            sender.send_messages(ServiceBusMessage("a"))
        sender.send_messages(ServiceBusMessage("b"))
        message = received(receiver)
        faults.fail(FaultPoint.SETTLE, "com.microsoft:message-lock-lost", times=1)
        with pytest.raises(MessageLockLostError):
            receiver.complete_message(message)
        faults.fail(FaultPoint.MANAGE, "com.microsoft:server-busy", times=1)
        with pytest.raises(ServiceBusError):
            receiver.peek_messages(1)
        assert ["b"] == [str(found) for found in receiver.peek_messages(5, sequence_number=1)]


def test_refused_links(client: ServiceBusClient, faults: Faults, queue: str) -> None:
    """Links and tokens can be refused until the fault is cleared."""
    faults.fail(FaultPoint.AUTHORIZE, "amqp:unauthorized-access")
    with pytest.raises(ServiceBusAuthenticationError), client.get_queue_sender(queue) as sender:
        sender.send_messages(ServiceBusMessage("a"))
    faults.clear()
    faults.fail(FaultPoint.ATTACH, "com.microsoft:server-busy")
    with pytest.raises(ServiceBusError), client.get_queue_sender(queue) as sender:
        sender.send_messages(ServiceBusMessage("a"))
    faults.clear()
    with client.get_queue_sender(queue) as sender:
        sender.send_messages(ServiceBusMessage("a"))


def test_late_answers(client: ServiceBusClient, faults: Faults, queue: str) -> None:
    """Everything that the server writes comes as late as ordered, in order."""
    with client.get_queue_sender(queue) as sender:
        sender.send_messages(ServiceBusMessage("a"))
        faults.delay = timedelta(seconds=0.2)
        start = time.monotonic()
        sender.send_messages(ServiceBusMessage("b"))
        assert 0.2 <= time.monotonic() - start
        faults.delay = timedelta()
        sender.send_messages(ServiceBusMessage("c"))
