"""The emulator as a whole: its life, its addresses, its clock."""

from __future__ import annotations

import gc
import socket
import threading
import warnings
from datetime import timedelta

import httpx
import pytest
from azure.servicebus import ServiceBusClient, ServiceBusMessage

from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.broker.api import BrokerError, Message
from cloudq.emulators.service_bus.broker.rules import NewRule, SqlFilter
from cloudq.emulators.service_bus.broker.settings import QueueSettings
from cloudq.emulators.service_bus.config import parse_config
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from cloudq.testing import FakeClock

MINUTE = timedelta(minutes=1)


def test_messages_and_administration_with_the_sdk() -> None:
    """What the SDK sends is received and settled, and the administration counts it; at the end no thread is left."""
    config = parse_config(b'{"UserConfig": {"Namespaces": [{"Name": "x", "Queues": [{"Name": "orders"}]}]}}')
    before = set(threading.enumerate())
    with ServiceBusEmulator(config=config) as emulator:
        with (
            ServiceBusClient.from_connection_string(emulator.connection_string, retry_total=0) as client,
            client.get_queue_sender("orders") as sender,
            client.get_queue_receiver("orders", max_wait_time=60) as receiver,
        ):
            sender.send_messages([ServiceBusMessage("a"), ServiceBusMessage("b")])
            first, second = receiver.receive_messages(2)
            assert ["a", "b"] == [str(first), str(second)]
            receiver.complete_message(first)
            receiver.dead_letter_message(second, reason="bad")
        body = httpx.get(f"{emulator.admin_url}/orders").content
        assert b"<d:ActiveMessageCount>0</d:ActiveMessageCount>" in body
        assert b"<d:DeadLetterMessageCount>1</d:DeadLetterMessageCount>" in body
        host_and_port = emulator.connection_string.split(";")[0]
        assert f"Endpoint=sb://127.0.0.1:{emulator.port}" == host_and_port
    emulator.stop()
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if thread.name == "service-bus-emulator"]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", emulator.port), 1)


def test_a_rule_sees_what_the_sdk_sends() -> None:
    """Application and system properties of messages from the SDK, of several types, reach the SQL filter."""
    with ServiceBusEmulator(admin_port=None) as emulator:
        emulator.create_topic("news")
        emulator.create_subscription("news", "some")
        entities = emulator.broker.entities
        emulator.call(entities.delete_rule, "news", "some", "$Default")
        wanted = SqlFilter("color = 'red' AND n > 1 AND ok = TRUE AND price < 2.5 AND sys.Label LIKE 'a%'")
        emulator.call(entities.create_rule, "news", "some", NewRule("mine", wanted))
        properties = {"color": "red", "n": 2, "ok": True, "price": 1.5}
        with (
            ServiceBusClient.from_connection_string(emulator.connection_string, retry_total=0) as client,
            client.get_topic_sender("news") as sender,
            client.get_subscription_receiver("news", "some", max_wait_time=60) as receiver,
        ):
            sender.send_messages(ServiceBusMessage("no", subject="abc", application_properties={"color": "blue"}))
            sender.send_messages(ServiceBusMessage("yes", subject="abc", application_properties=properties))
            (message,) = receiver.receive_messages(1)
            assert "yes" == str(message)
            receiver.complete_message(message)
        assert 0 == len(emulator.broker.entities.subscription("news", "some").queue.messages)


def test_a_clock_that_is_set_by_hand() -> None:
    """Nothing happens by itself: after a step of the clock, `tick` does what is due."""
    clock = FakeClock()
    with ServiceBusEmulator(admin_port=None, clock=clock) as emulator:
        emulator.create_queue("orders", QueueSettings(default_time_to_live=MINUTE))
        emulator.create_topic("news")
        emulator.create_subscription("news", "all")
        for path in ("orders", "news"):
            emulator.call(emulator.broker.send, Address(path), [Message(payload=b"x")])
        clock.advance(MINUTE)
        emulator.tick()
        counts = [
            emulator.call(lambda queue=queue: len(queue.messages))  # type: ignore[misc]  # of a loop's value
            for queue in (
                emulator.broker.entities.queue("orders").queue,
                emulator.broker.entities.subscription("news", "all").queue,
            )
        ]
        assert [0, 1] == counts
    assert (None, None) == (emulator.admin_url, emulator.admin_connection_string)


def test_a_port_that_is_taken() -> None:
    """Starting fails with the system's own error, and leaves neither thread nor port behind."""
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        emulator = ServiceBusEmulator(admin_port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            emulator.start()
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if thread.name == "service-bus-emulator"]
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", emulator.port), 1)


def test_what_it_refuses() -> None:
    """Calls when it isn't running, a second start, and what the broker refuses are errors."""
    emulator = ServiceBusEmulator(admin_port=None)
    with pytest.raises(RuntimeError, match="isn't running"):
        emulator.tick()
    with emulator, pytest.raises(RuntimeError, match="started before"):
        emulator.start()
    with pytest.raises(RuntimeError, match="started before"):
        emulator.start()
    with ServiceBusEmulator(admin_port=None) as another:
        another.create_queue("a")
        with pytest.raises(BrokerError, match="already exists"):
            another.create_queue("A")


def test_connections_that_were_just_accepted_are_closed() -> None:
    """Those that come while it stops leave no socket behind."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()  # what other tests have left
    for _ in range(10):
        with ServiceBusEmulator(admin_port=None) as emulator:
            clients = [socket.create_connection(("127.0.0.1", emulator.port)) for _ in range(5)]
        for client in clients:
            client.close()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        gc.collect()
    assert [] == [str(one.message) for one in said]
