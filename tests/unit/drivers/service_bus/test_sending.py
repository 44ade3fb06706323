"""Messages in the form in which Service Bus stores them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch
from azure.servicebus._pyamqp import _decode
from azure.servicebus.exceptions import MessageSizeExceededError

from cloudq.core.driver import Outgoing
from cloudq.core.failure import Failure
from cloudq.drivers.service_bus import encoding, sdk
from cloudq.drivers.service_bus.sending import message, refusal, store
from cloudq.errors import MessageTooLarge, UnsupportedError
from cloudq.testing.clock import FakeClock


def item(queue: str = "mail", **more) -> Outgoing:
    return Outgoing(id="id-1", queue=queue, body=b"{}", **more)


def test_a_body_is_stored_as_it_is() -> None:
    """The event is the body, and is called what the specification calls it."""
    made = message(item(), FakeClock())
    assert b"".join(made.body) == b"{}"
    assert made.content_type == "application/cloudevents+json"


def test_a_message_is_named_by_its_native_id() -> None:
    """Duplicate detection sees a key or a copy's generation, and otherwise the message's own id."""
    assert message(item(native_id="n"), FakeClock()).message_id == "n"
    assert message(item(), FakeClock()).message_id == "id-1"


def test_a_delay_is_a_time_of_the_services() -> None:
    """A delayed message is scheduled; another isn't."""
    clock = FakeClock()
    delayed = message(item(delay=timedelta(hours=1)), clock)
    assert delayed.scheduled_enqueue_time_utc == clock.now() + timedelta(hours=1)
    assert message(item(), clock).scheduled_enqueue_time_utc is None


def test_an_ordering_key_is_a_session() -> None:
    """Of one key there is one session, whatever the key's length."""
    assert message(item("mail.fifo", ordering_key="a"), FakeClock()).session_id == "a"
    assert len(message(item("mail.fifo", ordering_key="k" * 500), FakeClock()).session_id or "") <= 128


def test_a_failure_travels_beside_the_body() -> None:
    """A retry's copy says what went wrong before."""
    made = message(item(failure=Failure(reason="broken")), FakeClock())
    assert Failure.decode(str((made.application_properties or {})["cloudq-failure"])).reason == "broken"


@pytest.mark.parametrize(
    "refused",
    [
        item("mail", ordering_key="a"),
        item("mail.fifo"),
        item("mail.fifo", ordering_key="a", delay=timedelta(seconds=1)),
        item("mail", fairness_key="a"),
    ],
)
def test_what_a_queue_cant_keep_is_refused(refused: Outgoing) -> None:
    """An order where there is none, none where there must be one, a fairness key: refused, never ignored."""
    assert isinstance(refusal(refused), UnsupportedError)


@pytest.fixture(autouse=True)
def by_public_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """The senders here have no links."""
    monkeypatch.setattr(sdk, "store", lambda sender, batch: sender.send_messages(batch))


class Sender:
    """As much of the SDK's sender as storing uses: what is larger than a batch may still be sent alone."""

    def __init__(self, *, batch: int, alone: int) -> None:
        self.batch = batch
        self.alone = alone
        self.sent: list[object] = []

    def create_message_batch(self) -> ServiceBusMessageBatch:
        return ServiceBusMessageBatch(self.batch)

    def send_messages(self, what: ServiceBusMessageBatch | ServiceBusMessage) -> None:
        if isinstance(what, ServiceBusMessage) and len(b"".join(what.body)) > self.alone:
            raise MessageSizeExceededError(message="larger than the link takes")
        self.sent.append(what)


def test_what_is_larger_than_a_batch_is_sent_alone() -> None:
    """Premium takes larger messages than batches; what is too large for a message is refused, and alone."""
    sender = Sender(batch=2_000, alone=10_000)
    items = [Outgoing(id=str(size), queue="mail", body=b"x" * size) for size in (10, 5_000, 20_000, 20)]
    results = store(sender, items, FakeClock(), lambda: "place")  # type: ignore[arg-type]  # as much of one as it uses
    assert [None, None, MessageTooLarge, None] == [result.error and type(result.error) for result in results]
    assert [ServiceBusMessageBatch, ServiceBusMessage, ServiceBusMessageBatch] == [type(sent) for sent in sender.sent]


@pytest.mark.parametrize("traced", [False, True])
def test_a_batch_holds_all_kinds_of_messages_in_their_order(monkeypatch: pytest.MonkeyPatch, traced: bool) -> None:
    """Plain ones, retries with their failures, delayed ones; where the SDK traces, it has added each of them itself."""
    monkeypatch.setattr(encoding, "is_written_here", lambda: not traced)
    sender = Sender(batch=5_000, alone=0)
    kinds = [{}, {"failure": Failure(reason="broken")}, {"delay": timedelta(seconds=1)}, {}]
    items = [Outgoing(id=f"id-{place}", queue="mail", body=b"{}", **kind) for place, kind in enumerate(kinds)]
    assert [None] * 4 == [result.error for result in store(sender, items, FakeClock(), lambda: "place")]  # type: ignore[arg-type]
    (batch,) = sender.sent
    assert isinstance(batch, ServiceBusMessageBatch)
    stored = [_decode.decode_payload(memoryview(one)) for one in batch._message[5]]
    assert [b"id-0", b"id-1:0", b"id-2", b"id-3"] == [one.properties.message_id for one in stored]
    assert [False, True, False, False] == [one.application_properties is not None for one in stored]
    assert [False, False, True, False] == [one.message_annotations is not None for one in stored]
    assert len(batch._messages) == (4 if traced else 2)
