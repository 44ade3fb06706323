"""The SDK's other ways: asyncio, and AMQP inside a WebSocket, on the same port."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage, TransportType
from azure.servicebus.aio import ServiceBusClient as AsyncClient
from azure.servicebus.exceptions import ServiceBusAuthenticationError

from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from cloudq.emulators.service_bus.server.listener import LOOPBACK

pytestmark = pytest.mark.slow


async def send_and_complete(client: AsyncClient, queue: str) -> None:
    async with client, client.get_queue_sender(queue) as sender:
        await sender.send_messages([ServiceBusMessage("a"), ServiceBusMessage("b"), ServiceBusMessage("c")])
        async with client.get_queue_receiver(queue) as receiver:
            first, second, third = await receiver.receive_messages(max_message_count=3, max_wait_time=60)
            await receiver.complete_message(first)
            await receiver.abandon_message(second)
            await receiver.dead_letter_message(third, reason="bad")
            (second,) = await receiver.receive_messages(max_wait_time=60)
            assert ("b", 1) == (str(second), second.delivery_count)
            await receiver.renew_message_lock(second)
            await receiver.complete_message(second)
        async with client.get_queue_receiver(queue, sub_queue="deadletter") as receiver:
            assert ["c"] == [str(message) for message in await receiver.peek_messages(5, sequence_number=1)]


async def accept_session(client: AsyncClient, queue: str) -> None:
    async with client, client.get_queue_sender(queue) as sender:
        await sender.send_messages(ServiceBusMessage("a", session_id="s"))
        async with client.get_queue_receiver(queue, session_id="s") as receiver:
            await receiver.session.set_state("state")
            assert b"state" == await receiver.session.get_state()
            (message,) = await receiver.receive_messages(max_wait_time=60)
            await receiver.complete_message(message)
        with pytest.raises(ServiceBusAuthenticationError):
            async with client.get_queue_receiver("missing") as receiver:
                await receiver.receive_messages(max_wait_time=1)


def test_asyncio(emulator: ServiceBusEmulator, queue: str) -> None:
    """The asynchronous client sends, receives and settles."""
    client = AsyncClient.from_connection_string(emulator.connection_string, retry_total=0)
    asyncio.run(send_and_complete(client, queue))


def test_asyncio_sessions(emulator: ServiceBusEmulator, make_queue: Callable[..., str]) -> None:
    """The asynchronous client accepts sessions."""
    client = AsyncClient.from_connection_string(emulator.connection_string, retry_total=0)
    asyncio.run(accept_session(client, make_queue(requires_session=True)))


# What azure-servicebus 7.15 does with aiohttp: it leaves the session of its WebSocket open, and says ssl=None.
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning",
    "ignore:Unclosed:ResourceWarning",
    "ignore:ssl=None is deprecated:DeprecationWarning",
)
def test_asyncio_over_a_websocket(emulator: ServiceBusEmulator, queue: str) -> None:
    """The asynchronous client speaks WebSocket without TLS where the address is given by itself."""
    client = AsyncClient.from_connection_string(
        emulator.connection_string,
        retry_total=0,
        transport_type=TransportType.AmqpOverWebsocket,
        custom_endpoint_address=f"{LOOPBACK}:{emulator.port}",
    )
    asyncio.run(send_and_complete(client, queue))
    del client
    gc.collect()  # here, where the warning isn't one of another test's


def test_websocket(emulator: ServiceBusEmulator, queue: str) -> None:
    """The synchronous client works over a WebSocket; messages of any size go through."""
    body = bytes(range(256)) * 800
    with (
        ServiceBusClient.from_connection_string(
            emulator.connection_string,
            retry_total=0,
            transport_type=TransportType.AmqpOverWebsocket,
            # Without it azure-servicebus 7.15 forgets the port here.
            custom_endpoint_address=f"{LOOPBACK}:{emulator.port}",
        ) as client,
        client.get_queue_sender(queue) as sender,
        client.get_queue_receiver(queue) as receiver,
    ):
        sender.send_messages(ServiceBusMessage(body))
        (message,) = receiver.receive_messages(max_wait_time=60)
        assert body == b"".join(message.body)
        receiver.complete_message(message)


def test_many_clients(emulator: ServiceBusEmulator, queue: str) -> None:
    """Clients share the queue: what one sends another gets, and a message is locked for one of them."""
    clients = [ServiceBusClient.from_connection_string(emulator.connection_string, retry_total=0) for _ in range(4)]
    receivers = [client.get_queue_receiver(queue) for client in clients]
    with clients[0].get_queue_sender(queue) as sender:
        sender.send_messages([ServiceBusMessage(str(number)) for number in range(4)])
    got = [message for receiver in receivers for message in receiver.receive_messages(max_wait_time=60)]
    assert ["0", "1", "2", "3"] == sorted(map(str, got))
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /elsewhere HTTP/1.1", b"404"),
        ("GET /$servicebus/websocket HTTP/1.1", b"426"),
        ("GET /$servicebus/websocket HTTP/1.1\r\nOrigin: https://evil.example", b"403"),
        ("GIBBERISH", b""),
    ],
)
def test_what_is_no_websocket(emulator: ServiceBusEmulator, request_line: str, status: bytes) -> None:
    """Requests of HTTP that ask for something else are refused, and the connection is closed."""
    with socket.create_connection((LOOPBACK, emulator.port), timeout=60) as connection:
        connection.sendall(f"{request_line}\r\nHost: localhost\r\n\r\n".encode())
        answer = b""
        while data := connection.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 " + status if status else b"")
