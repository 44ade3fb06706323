"""Scheduling what is to be cancellable, over a sender that behaves like the SDK's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusMessageBatch
from azure.servicebus.exceptions import MessageNotFoundError, ServiceBusError

from cloudq.core.driver import Outgoing, SendResult
from cloudq.drivers.service_bus import ServiceBusDriver, scheduling, sdk, sending
from cloudq.errors import BackendError, BackendUnavailable
from cloudq.testing.clock import FakeClock

PLACE = "example.servicebus.windows.net/prod-mail"
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def by_public_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """The senders here have no links."""
    monkeypatch.setattr(sdk, "store", lambda sender, batch: sender.send_messages(batch))


class Sender:
    """Keeps what is scheduled by its number, and what is sent."""

    def __init__(self, largest: int = 256 * 1024) -> None:
        self.largest = largest
        self.scheduled: dict[int, tuple[str, datetime]] = {}
        self.calls: list[int] = []
        self.batches: list[ServiceBusMessageBatch] = []
        self.fail: Exception | None = None

    def create_message_batch(self, max_size_in_bytes: int | None = None) -> ServiceBusMessageBatch:
        return ServiceBusMessageBatch(max_size_in_bytes=max_size_in_bytes or self.largest)

    def send_messages(self, batch: ServiceBusMessageBatch) -> None:
        self.batches.append(batch)

    def schedule_messages(self, messages: Sequence[ServiceBusMessage], at: datetime) -> list[int]:
        if self.fail is not None:
            raise self.fail
        first = len(self.scheduled) + 100
        self.calls.append(len(messages))
        numbers = list(range(first, first + len(messages)))
        self.scheduled |= {
            number: (str(message.message_id), at) for number, message in zip(numbers, messages, strict=True)
        }
        return numbers

    def cancel_scheduled_messages(self, number: int) -> None:
        if self.fail is not None:
            raise self.fail
        if self.scheduled.pop(number, None) is None:
            raise MessageNotFoundError(message="The message could not be found.")


def item(id_: str, seconds: float, *, cancellable: bool = True, size: int = 10) -> Outgoing:
    return Outgoing(id=id_, queue="mail", body=b"x" * size, delay=timedelta(seconds=seconds), cancellable=cancellable)


def stored(sender: Sender, *items: Outgoing) -> tuple[list[SendResult], FakeClock]:
    clock = FakeClock()
    return sending.store(sender, items, clock, lambda: PLACE), clock  # type: ignore[arg-type]


def test_what_is_due_together_shares_a_call() -> None:
    """At the last of their times, so that none is early; the results are in the items' order."""
    sender = Sender()
    results, clock = stored(sender, item("a", 60), item("b", 3600), item("c", 60.4), item("d", 3600))
    assert [2, 2] == sender.calls
    named = {id_: (number, due) for number, (id_, due) in sender.scheduled.items()}
    assert [f"{named[id_][0]}@{PLACE}" for id_ in "abcd"] == [result.receipt for result in results]
    assert clock.now() + 60.4 * SECOND == named["a"][1] == named["c"][1]


def test_others_go_in_a_batch_as_ever() -> None:
    """What is sent at once, and copies with a delay, which nobody cancels."""
    sender = Sender()
    results, _ = stored(sender, item("now", 0), item("copy", 60, cancellable=False), item("later", 60))
    assert [None, None] == [result.receipt for result in results[:2]]
    assert ([2], [1]) == ([len(batch) for batch in sender.batches], sender.calls)


def test_a_call_is_no_larger_than_the_service_takes() -> None:
    """One message that is larger goes alone: the service says so itself."""
    sender = Sender(largest=10_000)
    results, _ = stored(sender, *(item(str(n), 60, size=3_000) for n in range(5)), item("big", 60, size=20_000))
    assert [2, 2, 1, 1] == sender.calls
    assert all(result.receipt for result in results)


def test_a_failed_call_fails_its_own_items() -> None:
    """Those that were sent otherwise are stored."""
    sender = Sender()
    sender.fail = ServiceBusError("refused")
    results, _ = stored(sender, item("now", 0), item("later", 60))
    assert results[0].error is None
    assert isinstance(results[1].error, BackendError)


def test_cancelling_by_the_number() -> None:
    """Once; what is due or done the service doesn't find."""
    sender = Sender()
    results, _ = stored(sender, item("a", 60), item("b", 60))
    number = scheduling.number_of(results[0].receipt or "", PLACE)
    assert [True, False] == [scheduling.cancel(sender, number) for _ in range(2)]  # type: ignore[arg-type]
    assert ["b"] == [id_ for id_, _ in sender.scheduled.values()]
    sender.fail = ServiceBusError("down")
    with pytest.raises(ServiceBusError):
        scheduling.cancel(sender, number)  # type: ignore[arg-type]


@pytest.mark.parametrize("handle", ["", "7", "7-abc", f"x@{PLACE}", f"-7@{PLACE}", f"7@other{PLACE}", f"7@{PLACE}s"])
def test_receipts_of_elsewhere_are_refused(handle: str) -> None:
    """The number is another message's in another namespace or queue."""
    with pytest.raises(ValueError, match="no receipt"):
        scheduling.number_of(handle, PLACE)
    driver = ServiceBusDriver("example.servicebus.windows.net", prefix="prod-")
    with pytest.raises(ValueError, match="no receipt"):
        driver.cancel("mail", handle)


def test_what_was_sent_is_not_reported_with_what_was_not() -> None:
    """A failure after the batch was stored is of what came after it: a second copy would be sent otherwise."""

    class Half(Sender):
        def send_messages(self, batch: ServiceBusMessageBatch) -> None:
            super().send_messages(batch)
            self.largest = -1  # whatever is asked next fails

        def create_message_batch(self, max_size_in_bytes: int | None = None) -> ServiceBusMessageBatch:
            if self.largest < 0:
                raise ServiceBusError("the link is gone")
            return super().create_message_batch(max_size_in_bytes)

    sender = Half()
    results, _ = stored(sender, item("now", 0), item("later", 10))
    assert len(sender.batches) == 1
    assert [result.error is None for result in results] == [True, False]


@pytest.mark.parametrize("numbers", [[], [100], [100, 101, 102], None])
def test_numbers_that_are_not_those_of_the_call(numbers: list[int] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which number is whose can't be known: all of the call may have been stored, and those of other calls were."""
    sender = Sender()
    schedule = sender.schedule_messages

    def spoilt(messages: Sequence[ServiceBusMessage], at: datetime) -> list[int] | None:
        made = schedule(messages, at)
        return numbers if len(messages) == 2 else made

    monkeypatch.setattr(sender, "schedule_messages", spoilt)
    results, _ = stored(sender, item("a", 60), item("b", 60), item("c", 3600))
    assert [BackendUnavailable, BackendUnavailable, type(None)] == [type(result.error) for result in results]
    assert "may have been stored" in str(results[0].error)
    assert [True, True, False] == [result.receipt is None for result in results]
