"""Messages are the same bytes as the SDK's, and a batch of them counts the same."""

from __future__ import annotations

from typing import Any

import pytest
from azure.core.settings import settings
from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch

from cloudq.drivers.service_bus import encoding

# Where a length needs four bytes instead of one, and where the list of properties does.
BODIES = [b"", b"{}", b"x" * 255, b"x" * 256, bytes(range(256)) * 300]
NAMES = [("i", None), ("i" * 128, None), ("i" * 128, "s" * 128), ("\U0001f600" * 128, "é" * 128)]
NAMES += [("i" * 128, "s" * length) for length in range(60, 100)]


def of_the_sdk(body: bytes, message_id: str, session_id: str | None) -> ServiceBusMessage:
    return ServiceBusMessage(
        body, message_id=message_id, session_id=session_id, content_type="application/cloudevents+json"
    )


def inside(batch: ServiceBusMessageBatch) -> tuple[Any, ...]:
    """All that the SDK sends of a batch, and how it counts it."""
    private: Any = batch
    return tuple(private._message), batch.size_in_bytes, len(batch)


@pytest.mark.parametrize(("message_id", "session_id"), NAMES)
@pytest.mark.parametrize("body", BODIES, ids=len)
def test_a_batch_is_the_sdks_byte_for_byte(body: bytes, message_id: str, session_id: str | None) -> None:
    """Whatever the lengths of its fields, and however many it holds: a reader can't tell who has written it."""
    ours, theirs = ServiceBusMessageBatch(1_000_000), ServiceBusMessageBatch(1_000_000)
    for _ in range(2):
        theirs.add_message(of_the_sdk(body, message_id, session_id))
        encoded = encoding.plain(body, message_id=message_id, session_id=session_id)
        assert encoding.add(ours, encoded, message_id=message_id, session_id=session_id)
        assert inside(theirs) == inside(ours)


def test_a_batch_is_full_where_the_sdks_is() -> None:
    """To the byte; what doesn't fit leaves it as it was."""
    encoded = encoding.plain(b"{}", message_id="i", session_id=None)
    one = ServiceBusMessageBatch()
    one.add_message(of_the_sdk(b"{}", "i", None))
    for room, fits in ((one.size_in_bytes, True), (one.size_in_bytes - 1, False)):
        batch = ServiceBusMessageBatch(room)
        assert encoding.add(batch, encoded, message_id="i", session_id=None) is fits
        assert len(batch) == fits


def test_where_the_sdk_traces_it_writes_the_messages() -> None:
    """Its tracing adds the trace to each message as it is added to a batch."""
    assert encoding.is_written_here()
    settings.tracing_implementation.set_value(type("Span", (), {}))
    try:
        assert not encoding.is_written_here()
    finally:
        settings.tracing_implementation.unset_value()
