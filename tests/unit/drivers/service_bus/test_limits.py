"""What Service Bus takes, as a queue's name says."""

from __future__ import annotations

from datetime import timedelta

from cloudq.drivers.service_bus.limits import MAX_HOLD, MAX_MESSAGE, ROOM, capabilities, is_subscription


def capabilities_of(queue: str, dedup_window: timedelta | None = None):
    return capabilities(queue, max_message=MAX_MESSAGE, dedup_window=dedup_window)


def test_a_queue_abandons_without_a_delay() -> None:
    """A queue without sessions retries at once by itself, and later by a scheduled copy."""
    plain = capabilities_of("mail")
    assert (plain.native_retry_delay, plain.copies, plain.ordering) == (timedelta(0), True, False)


def test_a_fifo_queue_has_sessions() -> None:
    """A queue whose name ends in .fifo keeps an order, and holds what is retried."""
    ordered = capabilities_of("mail.fifo")
    assert (ordered.native_retry_delay, ordered.ordering) == (MAX_HOLD, True)


def test_a_subscription_takes_no_copies() -> None:
    """Nothing can be sent to a subscription itself, so what is retried there is held."""
    subscription = capabilities_of("orders/Subscriptions/mail")
    assert (subscription.copies, subscription.native_retry_delay) == (False, MAX_HOLD)


def test_a_subscription_is_known_in_any_case() -> None:
    """The service doesn't mind the case of the word in between."""
    assert is_subscription("orders/subscriptions/mail")
    assert not is_subscription("subscriptions/mail")


def test_there_is_room_for_a_dead_letters_details() -> None:
    """A body and the longest details fit in one message together."""
    assert capabilities_of("mail").max_body + ROOM <= MAX_MESSAGE


def test_duplicate_detection_is_what_it_was_told() -> None:
    """Whether queues remember ids can't be seen without the right to manage them, so it is a setting."""
    assert capabilities_of("mail").deduplication is None
    assert capabilities_of("mail", timedelta(minutes=10)).deduplication == timedelta(minutes=10)


def test_how_long_a_retry_is_held_is_a_setting() -> None:
    """Whoever would rather have a session wait longer says so."""
    held = capabilities("mail.fifo", max_message=MAX_MESSAGE, dedup_window=None, max_hold=timedelta(minutes=4))
    assert held.native_retry_delay == timedelta(minutes=4)
