"""The fixture `cloudq_service_bus`."""

from __future__ import annotations

import httpx
import pytest

from cloudq.testing.service_bus import ADMIN_URL, CONNECTION_STRING, ServiceBus, service_bus


def test_it_is_an_emulator(cloudq_service_bus: ServiceBus) -> None:
    """It runs with its administration, and knows what is made in it."""
    if cloudq_service_bus.emulator is None:
        pytest.skip(f"{CONNECTION_STRING} names another Service Bus")
    cloudq_service_bus.emulator.create_queue("of-the-fixture")
    listed = httpx.get(f"{cloudq_service_bus.admin_url}/$Resources/queues").text
    assert ">of-the-fixture</title>" in listed


def test_another_one_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the environment variables set nothing is started; the key isn't shown."""
    monkeypatch.setenv(CONNECTION_STRING, "Endpoint=sb://localhost;SharedAccessKeyName=a;SharedAccessKey=secret")
    monkeypatch.setenv(ADMIN_URL, "http://localhost:5300")
    with service_bus() as found:
        assert (None, "http://localhost:5300") == (found.emulator, found.admin_url)
        assert "secret" in found.connection_string
        assert "secret" not in repr(found)
