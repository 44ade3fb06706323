"""What is read of a queue, and how permissions are found out without a message being touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.servicebus import ServiceBusMessageState
from azure.servicebus.exceptions import ServiceBusAuthorizationError, ServiceBusConnectionError

from cloudq.core.queue_settings import QueueSettings
from cloudq.drivers.service_bus import inspecting
from cloudq.errors import BackendUnavailable, PermissionDenied
from cloudq.testing.clock import FakeClock

# As the service writes "without end".
ENDLESS = timedelta(days=10675199, hours=2)
WINDOW = timedelta(minutes=10)
CLOCK = FakeClock()


def properties(**changes: Any) -> SimpleNamespace:
    """A queue's, as the SDK reads them."""
    plain = {
        "status": "Active",
        "requires_session": False,
        "lock_duration": timedelta(minutes=5),
        "max_delivery_count": 100,
        "default_message_time_to_live": ENDLESS,
        "dead_lettering_on_message_expiration": True,
        "max_message_size_in_kilobytes": 256,
        "requires_duplicate_detection": False,
        "duplicate_detection_history_time_window": WINDOW,
        "forward_to": None,
        "forward_dead_lettered_messages_to": None,
        "auto_delete_on_idle": ENDLESS,
    }
    return SimpleNamespace(**(plain | changes))


class Administration:
    """Knows one queue, and one subscription, which has less to tell."""

    def __init__(self, found: SimpleNamespace, date: str | None = None) -> None:
        self.found = found
        self.date = date

    def get_queue(self, name: str, *, cls: Callable[..., Any]) -> Any:
        if name != "prod-mail":
            raise ResourceNotFoundError(name)
        headers = {} if self.date is None else {"Date": self.date}
        return cls(SimpleNamespace(http_response=SimpleNamespace(headers=headers)), self.found, {})

    def get_subscription(self, topic: str, name: str, *, cls: Callable[..., Any]) -> SimpleNamespace:
        del cls  # one whose answer shows no time
        assert (topic, name) == ("prod-orders", "mail")
        told = dict(vars(self.found))
        for missing in ("max_message_size_in_kilobytes", "requires_duplicate_detection"):
            del told[missing]
        return SimpleNamespace(**told)


def told(name: str = "prod-mail", **changes: Any) -> QueueSettings | None:
    return inspecting.settings(Administration(properties(**changes)), name, CLOCK)  # type: ignore[arg-type]  # a fake


def test_all_that_the_service_tells():
    """Of a queue as cloudq makes it: what says "without end" has none."""
    assert told() == QueueSettings(
        name="prod-mail",
        ordered=False,
        lease=timedelta(minutes=5),
        max_deliveries=100,
        keeps_expired=True,
        max_message=256 * 1024,
        remembers=timedelta(0),
    )


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"status": "ReceiveDisabled"}, "stopped", "ReceiveDisabled"),
        ({"status": SimpleNamespace(value="Disabled")}, "stopped", "Disabled"),
        ({"requires_session": True}, "ordered", True),
        ({"default_message_time_to_live": timedelta(days=60)}, "retention", timedelta(days=60)),
        ({"requires_duplicate_detection": True}, "remembers", WINDOW),
        ({"forward_to": "other"}, "forwards_to", "other"),
        ({"forward_dead_lettered_messages_to": "other"}, "dead_letters_to", "other"),
        ({"auto_delete_on_idle": timedelta(minutes=5)}, "deleted_when_idle", timedelta(minutes=5)),
        ({"max_message_size_in_kilobytes": None}, "max_message", None),
    ],
)
def test_what_a_setting_means(changes, name, value):
    """An enum's word, a time with an end, where messages go."""
    assert value == getattr(told(**changes), name)


def test_a_subscription_leaves_some_to_its_topic():
    """Whether ids are known again, and how large a message may be."""
    found = told("prod-orders/Subscriptions/mail")
    assert found is not None
    assert ("prod-orders/Subscriptions/mail", None, None) == (found.name, found.remembers, found.max_message)


def test_a_queue_that_is_not_there():
    """It is no error."""
    assert told("prod-other") is None


class Letters:
    """Dead letters that are looked at, or aren't to be."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.looks: list[int] = []

    def peek(self, *, limit: int, after: str | None = None) -> list[Any]:
        assert after is None
        self.looks.append(limit)
        if self.error is not None:
            raise self.error
        return []


@contextmanager
def sender(error: Exception | None) -> Iterator[Any]:
    """One whose link can be opened, or not; nothing can be sent by it."""

    def opened() -> None:
        if error is not None:
            raise error

    yield SimpleNamespace(create_message_batch=opened)


DENIED = ServiceBusAuthorizationError(message="Unauthorized access. 'Send' claim(s) are required")


@pytest.mark.parametrize(
    ("sends", "listens", "missing"),
    [
        (None, None, []),
        (DENIED, None, ["Azure Service Bus Data Sender (Send) on mail"]),
        (None, PermissionDenied("no"), ["Azure Service Bus Data Receiver (Listen) on mail"]),
    ],
    ids=["none", "send", "listen"],
)
def test_what_is_denied_is_named(sends, listens, missing):
    """By the role, and the right of a key."""
    letters: Any = Letters(listens)
    assert missing == list(inspecting.missing_permissions(lambda: sender(sends), letters, "mail"))
    assert [1] == letters.looks


def test_who_only_sends_looks_at_no_dead_letters():
    """That takes a right that a sender hasn't."""
    assert [] == list(inspecting.missing_permissions(lambda: sender(None), None, "mail"))


def test_a_service_that_can_not_be_reached_is_no_permission_that_is_there():
    """Nothing is known then, and that is raised."""
    gone: Any = Letters(BackendUnavailable("gone"))
    for sends, letters in ((ServiceBusConnectionError(message="gone"), None), (None, gone)):
        with pytest.raises(BackendUnavailable):
            list(inspecting.missing_permissions(lambda sends=sends: sender(sends), letters, "mail"))


@pytest.mark.parametrize(("ahead", "date"), [(30, True), (-30, True), (None, False)])
def test_the_time_of_the_answer_is_compared(ahead, date):
    """Where the answer shows it, in whole seconds."""
    now = CLOCK.now().replace(microsecond=0)
    shown = format_datetime(now - timedelta(seconds=ahead or 0), usegmt=True) if date else None
    administration = Administration(properties(), shown)
    found = inspecting.settings(administration, "prod-mail", CLOCK)  # type: ignore[arg-type]  # a fake
    assert found is not None
    if ahead is None or found.ahead is None:
        assert ahead is found.ahead
    else:
        assert abs(found.ahead.total_seconds() - ahead) < 1


class Shelf:
    """Messages to peek at, by their sequence numbers; every other number was taken."""

    def __init__(self, *states: ServiceBusMessageState) -> None:
        self.stored = [
            SimpleNamespace(
                sequence_number=2 * place + 1,
                state=state,
                enqueued_time_utc=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=place),
            )
            for place, state in enumerate(states)
        ]
        self.peeks = 0

    def peek_messages(self, count: int, *, sequence_number: int) -> list[SimpleNamespace]:
        self.peeks += 1
        return [one for one in self.stored if one.sequence_number >= sequence_number][:count]


@pytest.mark.parametrize("scheduled", [0, 3, 100, 250])
def test_the_oldest_is_the_first_that_is_not_scheduled(scheduled):
    """What is scheduled isn't ready, and may come before it."""
    waits, ready = ServiceBusMessageState.SCHEDULED, ServiceBusMessageState.ACTIVE
    shelf = Shelf(*[waits] * scheduled, ready, ready)
    expected = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=scheduled)
    assert [expected] == inspecting.oldest(shelf)  # type: ignore[arg-type]  # a fake


def test_a_look_for_the_oldest_ends():
    """With nothing where there is nothing, or a thousand are scheduled before it."""
    assert [] == inspecting.oldest(Shelf())  # type: ignore[arg-type]  # a fake
    many = Shelf(*[ServiceBusMessageState.SCHEDULED] * 1_000, ServiceBusMessageState.ACTIVE)
    assert [] == inspecting.oldest(many)  # type: ignore[arg-type]  # a fake
    assert 10 == many.peeks
