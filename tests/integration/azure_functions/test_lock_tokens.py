"""A trigger's messages, settled by their locks' tokens: with the real SDK on both sides, over the emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from types import SimpleNamespace

import azure.functions as func
import pytest
from azure.functions.meta import Datum
from azure.functions.servicebus import ServiceBusMessageInConverter
from azure.servicebus import ServiceBusClient, ServiceBusReceivedMessage, ServiceBusReceiver
from azure.servicebus.exceptions import MessageLockLostError
from tenacity import stop_after_attempt, wait_fixed

from cloudq import App, RetryPolicy
from cloudq.azure_functions import handler
from cloudq.drivers.service_bus import ServiceBusDriver
from cloudq.emulators.service_bus.broker.settings import QueueSettings
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from cloudq.errors import BatchFailed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def emulator() -> Iterator[ServiceBusEmulator]:
    with ServiceBusEmulator(admin_port=None) as server:
        yield server


@pytest.fixture
def app(emulator: ServiceBusEmulator, request: pytest.FixtureRequest) -> Iterator[App]:
    queue = f"q-{abs(hash(request.node.name))}"
    emulator.create_queue(queue, QueueSettings(lock_duration=timedelta(seconds=60), max_delivery_count=100))
    app = App("servicebus://", default_queue=queue)

    @app.task("good")
    def good() -> None: ...

    @app.task("again", retry=RetryPolicy(wait=wait_fixed(3600)))
    def again() -> None:
        raise RuntimeError("boom")

    @app.task("dead", retry=RetryPolicy(stop=stop_after_attempt(1)))
    def dead() -> None:
        raise RuntimeError("boom")

    driver = ServiceBusDriver("127.0.0.1", connection_string=emulator.connection_string)
    with app.using(driver):
        yield app
    driver.close()


@pytest.fixture
def host(app: App, emulator: ServiceBusEmulator) -> Iterator[ServiceBusReceiver]:
    """The host's own connection, which holds the locks."""
    with (
        ServiceBusClient.from_connection_string(emulator.connection_string, retry_total=0) as client,
        client.get_queue_receiver(app.default_queue) as receiver,
    ):
        yield receiver


def taken(host: ServiceBusReceiver, count: int) -> list[ServiceBusReceivedMessage]:
    messages: list[ServiceBusReceivedMessage] = []
    while len(messages) < count:
        messages += host.receive_messages(count - len(messages), 5)
    return messages


def as_passed(messages: Sequence[ServiceBusReceivedMessage]) -> list[func.ServiceBusMessage]:
    """The list that the trigger would pass."""

    def array(values: Sequence[object]) -> Datum:
        return Datum(json.dumps(values), "json")

    metadata = {
        "UserPropertiesArray": array([{} for _ in messages]),
        "LockTokenArray": array([str(message.lock_token) for message in messages]),
        "DeliveryCountArray": array([(message.delivery_count or 0) + 1 for message in messages]),
        "MessageIdArray": array([message.message_id for message in messages]),
        "LockedUntilArray": array([f"{message.locked_until_utc:%Y-%m-%dT%H:%M:%S.%f}0+00:00" for message in messages]),
    }
    bodies = SimpleNamespace(string=[b"".join(message.body).decode() for message in messages])
    return ServiceBusMessageInConverter.decode(Datum(bodies, "collection_string"), trigger_metadata=metadata)


def test_a_dead_letter_is_the_services_own(app: App, host: ServiceBusReceiver) -> None:
    """It lies in the queue's dead-letter queue with its reason; the host completes the others, and finds it gone."""
    ids = [app.send(name).id for name in ("good", "again", "dead")]
    messages = taken(host, 3)
    handler(app, queue=app.default_queue)(as_passed(messages))
    host.complete_message(messages[0])
    host.complete_message(messages[1])
    with pytest.raises(MessageLockLostError):
        host.complete_message(messages[2])
    (dead,) = app.queue(app.default_queue).dead_letters
    assert (ids[2], "gave up after 1 attempt: RuntimeError: boom", 1) == (
        dead.id,
        dead.failure and dead.failure.reason,
        dead.failure and dead.failure.attempts,
    )
    (copy,) = host.peek_messages(9, sequence_number=1)
    assert ids[1] == json.loads(b"".join(copy.body))["id"]
    assert copy.scheduled_enqueue_time_utc is not None


def test_a_lock_that_is_gone_fails_the_invocation(app: App, host: ServiceBusReceiver) -> None:
    """What can't be dead-lettered comes back; what is done was completed, whatever the host does to the rest."""
    for name in ("good", "dead"):
        app.send(name)
    messages = taken(host, 2)
    passed = as_passed(messages)
    host.abandon_message(messages[1])
    with pytest.raises(BatchFailed, match="1 of 2"):
        handler(app, queue=app.default_queue)(passed)
    with pytest.raises(MessageLockLostError):
        host.abandon_message(messages[0])
    (left,) = host.peek_messages(9, sequence_number=1)
    assert messages[1].message_id == left.message_id
    assert [] == list(app.queue(app.default_queue).dead_letters)
