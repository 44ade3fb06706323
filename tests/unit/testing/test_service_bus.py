"""The fixture `cloudq_service_bus`."""

from __future__ import annotations

import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from cloudq.testing.service_bus import ADMIN_URL, CONNECTION_STRING, ServiceBus, service_bus


def test_it_is_an_emulator(cloudq_service_bus: ServiceBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made in it can be sent to and received from."""
    if cloudq_service_bus.emulator is None:
        pytest.skip(f"{CONNECTION_STRING} names another Service Bus")
    cloudq_service_bus.emulator.create_queue("of-the-fixture")
    with (
        ServiceBusClient.from_connection_string(cloudq_service_bus.connection_string) as client,
        client.get_queue_sender("of-the-fixture") as sender,
        client.get_queue_receiver("of-the-fixture", max_wait_time=10) as receiver,
    ):
        sender.send_messages(ServiceBusMessage("hello"))
        assert ["hello"] == [str(message) for message in receiver.receive_messages(1)]


def test_another_one_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the environment variables set nothing is started; the key isn't shown."""
    monkeypatch.setenv(CONNECTION_STRING, "Endpoint=sb://localhost;SharedAccessKeyName=a;SharedAccessKey=secret")
    monkeypatch.setenv(ADMIN_URL, "http://localhost:5300")
    with service_bus() as found:
        assert (None, "http://localhost:5300") == (found.emulator, found.admin_url)
        assert "secret" in found.connection_string
        assert "secret" not in repr(found)
