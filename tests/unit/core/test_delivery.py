"""`Delivery` and `Lease`: what a driver makes of a stored body, and what a log may show of it."""

from __future__ import annotations

import dis
from datetime import UTC, datetime, timedelta
from types import FunctionType

import pytest
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease, believed
from cloudq.core.failure import Failure
from cloudq.core.message import Message

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = Lease(queue="mail", receipt="settles it", expires_at=NOW, ends=timedelta(0))
MESSAGE = Message(id="id-1", task="mail.welcome", queue="mail", payload={"secret": "s3cret"}, attempt_base=2)


def test_a_body_is_decoded() -> None:
    """The message, its id, and the attempts of its earlier copies added to the runs of this one."""
    body = wire.encode(MESSAGE)
    failure = Failure(reason="before")
    delivery = Delivery.of(
        body, native_id="n-1", runs=1, deliveries=4, lease=LEASE,
        group="k", first_received_at=NOW, failure=failure, raw=7,
    )  # fmt: skip
    expected = Delivery(
        queue="mail", id="id-1", body=body, message=MESSAGE, undecodable=None, attempt=3, deliveries=4, lease=LEASE,
        group="k", first_received_at=NOW, failure=failure, raw=7,
    )  # fmt: skip
    assert expected == delivery


def test_a_body_that_cannot_be_decoded_is_handed_over_with_the_reason() -> None:
    """Its bytes unchanged, under the backend's id, with no message."""
    delivery = Delivery.of(b"\xff", native_id="n-1", runs=1, deliveries=2, lease=LEASE)
    assert ("n-1", b"\xff", None, 1, 2) == (
        delivery.id, delivery.body, delivery.message, delivery.attempt, delivery.deliveries,
    )  # fmt: skip
    assert delivery.undecodable is not None
    assert delivery.undecodable.startswith("the body isn't JSON: ")


def test_the_queue_is_the_one_it_came_from() -> None:
    """A message that names no queue gets the name of the one that delivered it."""
    delivery = Delivery.of(
        b'{"specversion":"1.0","id":"1","source":"s","type":"t"}', native_id="n", runs=1, deliveries=1, lease=LEASE
    )
    assert delivery.message is not None
    assert ("mail", "mail") == (delivery.queue, delivery.message.queue)


def test_reprs_show_nothing_that_a_log_should_not_hold() -> None:
    """Neither the body nor the receipt, which settles the message for whoever reads it."""
    delivery = Delivery.of(wire.encode(MESSAGE), native_id="n", runs=1, deliveries=1, lease=LEASE)
    assert "Delivery(id='id-1', queue='mail', task='mail.welcome', attempt=3)" == repr(delivery)
    poison = Delivery.of(b"s3cret", native_id="n", runs=1, deliveries=1, lease=LEASE)
    assert "Delivery(id='n', queue='mail', task=None, attempt=1)" == repr(poison)
    assert "Lease(queue='mail', expires_at=2026-01-01T00:00:00+00:00)" == repr(LEASE)


@pytest.mark.parametrize(
    ("kept", "generation", "count", "known"), [(True, 0, 3, 3), (True, 0, 99, 4), (True, 1, 3, 0), (False, 0, 3, 0)]
)
def test_known_ends_are_what_the_driver_itself_noted(kept: bool, generation: int, count: int, known: int) -> None:
    """Of this copy, and no more than were handed over before; what a sender may have written says nothing."""
    failure = Failure(reason="before", deliveries=count, generation=generation)
    made = Delivery.of(
        wire.encode(MESSAGE), native_id="n-1", runs=5, deliveries=5, lease=LEASE, failure=failure, failure_kept=kept
    )
    assert known == made.known_ends


@pytest.mark.parametrize(
    ("runs", "failed_at", "known"),
    [
        (1, None, 9),  # given back nine times
        (4, None, 6),  # and three times its worker died
        (4, (3, 5), 9),  # two were given back before its third run failed, and four since
        (6, (3, 5), 7),  # and two times its worker died since
        (1, (99, 5), 9),
        (1, (0, 99), 9),
    ],
)
def test_what_was_given_back_uncounted_ended(runs: int, failed_at: tuple[int, int] | None, known: int) -> None:
    """Of ten handings-over: before the latest failure all ended, since then those that were given back."""
    failure = None
    if failed_at is not None:
        attempts, deliveries = failed_at
        failure = Failure(reason="before", attempts=MESSAGE.attempt_base + attempts, deliveries=deliveries)
    made = Delivery.of(
        wire.encode(MESSAGE),
        native_id="n-1",
        runs=runs,
        deliveries=10,
        lease=LEASE,
        failure=failure,
        failure_kept=True,
        given_back=10 - runs,
    )
    assert known == made.known_ends


@pytest.mark.parametrize("since", ["waiting_since", "unknown_since"])
def test_a_wait_that_is_kept_beside_a_message_counts_once(since: str) -> None:
    """It is itself one that was given back: a worker that died since isn't taken for another."""
    failure = replace(Failure(reason="waits", attempts=MESSAGE.attempt_base + 1, deliveries=1), **{since: NOW})
    made = Delivery.of(
        wire.encode(MESSAGE),
        native_id="n-1",
        runs=2,
        deliveries=3,
        lease=LEASE,
        failure=failure,
        failure_kept=True,
        given_back=1,
    )
    assert made.known_ends == 1


def test_what_has_no_failure_is_believed_as_it_is() -> None:
    """As nearly all are."""
    made = Delivery.of(wire.encode(MESSAGE), native_id="n-1", runs=1, deliveries=1, lease=LEASE)
    assert believed(made, NOW) is made


@pytest.mark.parametrize("function", [wire.encode, Delivery.of])
def test_what_each_message_goes_through_passes_its_arguments_one_by_one(function: FunctionType) -> None:
    """With more than 15 keyword arguments CPython (3.11 to 3.13) makes a dict of them first: four times as long."""
    assert "CALL_FUNCTION_EX" not in {step.opname for step in dis.get_instructions(function)}


def test_what_others_set_beside_a_body_is_kept() -> None:
    """In the driver's own form, for the copies."""
    body = wire.encode(MESSAGE)
    delivery = Delivery.of(body, native_id="n-1", runs=1, deliveries=1, lease=LEASE, foreign={"tenant": "acme"})
    assert delivery.foreign == {"tenant": "acme"}
    assert delivery.message == MESSAGE
