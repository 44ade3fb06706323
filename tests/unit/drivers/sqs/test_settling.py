"""Settling and extending: what is called, and which leases are over."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from cloudq.core.driver import Ack, Release
from cloudq.core.outcome import Retried
from cloudq.core.plan import plan
from cloudq.drivers.sqs import SQSDriver
from cloudq.drivers.sqs.limits import RELEASE_MARGIN
from cloudq.errors import (
    BackendUnavailable,
    LeaseLost,
)
from tests.unit.drivers.sqs.fakes import client_error
from tests.unit.drivers.sqs.using import LEASE, SECOND, held, item, parameters, receive, settle

HOUR = timedelta(hours=1)


def test_acks_and_releases_are_one_call_each(driver, sqs):
    """However they are mixed."""
    deliveries = held(driver, 6)
    steps = [Ack(), Release(delay=30 * SECOND)] * 3
    assert [None] * 6 == settle(driver, *zip(deliveries, steps, strict=True))
    assert [3] == [len(given["Entries"]) for given in parameters(sqs, "DeleteMessageBatch")]
    (changed,) = parameters(sqs, "ChangeMessageVisibilityBatch")
    assert [30, 30, 30] == [entry["VisibilityTimeout"] for entry in changed["Entries"]]


def test_an_item_that_fails_to_settle_may_be_tried_again(driver, sqs):
    """A transient failure of one leaves its lease; the others are confirmed."""
    deliveries = held(driver, 3)
    sqs.fail_item = lambda _, entry: ("InternalError", False) if entry["Id"] == "1" else None
    errors = settle(driver, *((delivery, Ack()) for delivery in deliveries))
    assert [type(None), BackendUnavailable, type(None)] == [type(error) for error in errors]
    sqs.fail_item = lambda *_: None
    errors = settle(driver, *((delivery, Ack()) for delivery in deliveries))
    assert [LeaseLost, type(None), LeaseLost] == [type(error) for error in errors]


def test_a_call_that_fails_to_settle_may_be_tried_again(driver, sqs):
    """Each item has the error, and settles at the next try."""
    (delivery,) = held(driver)
    sqs.fail = lambda operation: client_error("InternalError", status=500)
    assert [BackendUnavailable] == [type(error) for error in settle(driver, (delivery, Ack()))]
    sqs.fail = lambda operation: None
    assert [None] == settle(driver, (delivery, Ack()))


def test_an_interrupted_settlement_may_be_tried_again(driver, sqs):
    """Ctrl-C in the middle of a call doesn't leave the lease as settled."""
    (delivery,) = held(driver)
    sqs.fail = lambda operation: KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        settle(driver, (delivery, Ack()))
    sqs.fail = lambda operation: None
    assert [None] == settle(driver, (delivery, Ack()))


@pytest.mark.parametrize(("queue", "tried"), [("q", True), ("q.fifo", False)])
def test_a_late_ack_is_tried_where_that_is_not_fenced(driver, sqs, clock, queue, tried):
    """On a standard queue finished work is deleted all the same, and reported as late (semantics 10)."""
    (delivery,) = held(driver, queue=queue)
    clock.advance(LEASE)
    assert [LeaseLost] == [type(error) for error in settle(driver, (delivery, Ack()))]
    assert tried == ("DeleteMessageBatch" in sqs.operations())
    assert [LeaseLost] == [type(error) for error in settle(driver, (delivery, Ack()))]


@pytest.mark.parametrize("queue", ["q", "q.fifo"])
def test_a_late_release_is_not_sent(driver, sqs, clock, queue):
    """Somebody else may have the message."""
    (delivery,) = held(driver, queue=queue)
    clock.advance(LEASE)
    assert [LeaseLost] == [type(error) for error in settle(driver, (delivery, Release()))]
    assert "ChangeMessageVisibilityBatch" not in sqs.operations()


def test_a_purge_ends_the_leases_before_it(driver, sqs, clock):
    """Those that begin after it hold."""
    (before,) = held(driver)
    driver.purge("q")
    clock.advance(SECOND)
    (after,) = held(driver)
    assert [LeaseLost, type(None)] == [type(error) for error in settle(driver, (before, Ack()), (after, Ack()))]


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
def test_a_release_is_within_the_hard_limit(driver, sqs, clock, step):
    """A FIFO queue's retry near the twelve hours is as long as SQS allows as it arrives, whatever a clock is set to."""
    (delivery,) = held(driver, queue="q.fifo")
    for _ in range(12):
        clock.advance(LEASE - SECOND)
        driver.extend([delivery.lease], HOUR)
    clock.step(step)
    planned = plan(delivery, Retried(delay=12 * HOUR, reason="no"), driver.capabilities("q.fifo"), clock.now())
    settle(driver, (delivery, planned.final))
    changed = parameters(sqs, "ChangeMessageVisibilityBatch")[-1]["Entries"][0]
    assert 12 * 3600 - 12 * 59 - RELEASE_MARGIN.seconds == changed["VisibilityTimeout"]


def test_extensions_are_ten_a_call_and_move_the_lease(driver, sqs, clock):
    """What was granted is what later settlements go by."""
    deliveries = held(driver, 12)
    clock.advance(LEASE - SECOND)
    results = driver.extend([delivery.lease for delivery in deliveries], LEASE)
    assert [clock.now() + LEASE] * 12 == [result.expires_at for result in results]
    assert [10, 2] == [len(given["Entries"]) for given in parameters(sqs, "ChangeMessageVisibilityBatch")]
    clock.advance(LEASE - SECOND)
    assert [None] == settle(driver, (deliveries[0], Ack()))


def test_an_extension_ends_at_the_twelve_hours(driver, clock):
    """No more is granted, and when nothing is left the lease ends as it was."""
    driver.send([item()])
    (delivery,) = receive(driver, lease=timedelta(hours=12))
    clock.advance(timedelta(hours=11))
    (result,) = driver.extend([delivery.lease], timedelta(hours=2))
    assert delivery.lease.hard_limit == result.expires_at
    clock.advance(timedelta(minutes=59, seconds=59, milliseconds=500))
    (result,) = driver.extend([delivery.lease], timedelta(hours=2))
    assert (delivery.lease.hard_limit, None) == (result.expires_at, result.error)
    clock.advance(SECOND)
    assert LeaseLost is type(driver.extend([delivery.lease], SECOND)[0].error)


# ── beside each other ────────────────────────────────────────────────────────────────────────────────────


class Stuck:
    """Holds up one operation until `free` is set, and then has it fail or not."""

    def __init__(self, sqs, operation, error=None):
        self.begun, self.free = threading.Event(), threading.Event()
        self._operation, self._error = operation, error
        sqs.fail = self

    def __call__(self, operation):
        if operation != self._operation or self.begun.is_set():
            return None
        self.begun.set()
        assert self.free.wait(30)
        return self._error


def settle_in_a_thread(driver, delivery, step):
    errors = []
    thread = threading.Thread(target=lambda: errors.extend(settle(driver, (delivery, step))))
    thread.start()
    return thread, errors


def test_a_lease_is_extended_beside_a_deletion_under_way(driver, sqs, clock):
    """The deletion may fail, and then the lease has to last until the next try (semantics 10, 11)."""
    (delivery,) = held(driver)
    stuck = Stuck(sqs, "DeleteMessageBatch", client_error("InternalError", status=500))
    thread, errors = settle_in_a_thread(driver, delivery, Ack())
    assert stuck.begun.wait(30)
    clock.advance(LEASE / 2)
    (result,) = driver.extend([delivery.lease], LEASE)
    assert (None, clock.elapsed() + LEASE) == (result.error, result.ends)
    stuck.free.set()
    thread.join()
    assert [BackendUnavailable] == [type(error) for error in errors]
    clock.advance(LEASE * 0.9)
    assert [None] == settle(driver, (delivery, Ack()))
    assert LeaseLost is type(driver.extend([delivery.lease], LEASE)[0].error)


def test_a_lease_is_not_extended_beside_a_release_under_way(driver, sqs, clock):
    """That would hide the message again; nor is it over, as the release may fail (semantics 11)."""
    (delivery,) = held(driver)
    stuck = Stuck(sqs, "ChangeMessageVisibilityBatch", client_error("InternalError", status=500))
    thread, errors = settle_in_a_thread(driver, delivery, Release())
    assert stuck.begun.wait(30)
    calls = len(sqs.calls)
    (result,) = driver.extend([delivery.lease], LEASE * 2)
    assert (None, delivery.lease.ends, clock.now() + LEASE) == (result.error, result.ends, result.expires_at)
    assert calls == len(sqs.calls)
    stuck.free.set()
    thread.join()
    assert [BackendUnavailable] == [type(error) for error in errors]
    assert [None] == settle(driver, (delivery, Release()))


def test_an_extension_that_a_deletion_overtakes_does_not_end_the_lease(driver, sqs):
    """The service doesn't know the receipt any more: the deletion's own answer says what became of the message."""
    (delivery,) = held(driver)
    stuck = Stuck(sqs, "DeleteMessageBatch")
    thread, errors = settle_in_a_thread(driver, delivery, Ack())
    assert stuck.begun.wait(30)
    sqs.fail_item = lambda operation, _: ("ReceiptHandleIsInvalid", True) if "Change" in operation else None
    (result,) = driver.extend([delivery.lease], LEASE)
    assert isinstance(result.error, BackendUnavailable)
    stuck.free.set()
    thread.join()
    assert [None] == errors


def test_a_second_settlement_beside_the_first_is_refused(driver, sqs):
    """Whichever came first decides."""
    (delivery,) = held(driver)
    stuck = Stuck(sqs, "DeleteMessageBatch")
    thread, errors = settle_in_a_thread(driver, delivery, Ack())
    assert stuck.begun.wait(30)
    assert [LeaseLost] == [type(error) for error in settle(driver, (delivery, Release()))]
    stuck.free.set()
    thread.join()
    assert [None] == errors


def test_what_ends_a_settlement_gives_back_all_its_leases(driver, sqs):
    """Those of calls that weren't made yet too."""
    deliveries = held(driver, 12)
    pairs = [(delivery, Ack()) for delivery in deliveries]
    sqs.fail = lambda operation: KeyboardInterrupt() if operation == "DeleteMessageBatch" else None
    with pytest.raises(KeyboardInterrupt):
        settle(driver, *pairs)
    sqs.fail = lambda operation: None
    assert [None] * 12 == settle(driver, *pairs)


def test_a_client_that_can_not_be_made_settles_nothing(sqs, clock):
    """After a fork, say: each item has the error, and is settled by the next try."""
    driver = SQSDriver("test", client=sqs, clock=clock)
    (delivery,) = held(driver)
    errors = [BackendUnavailable("no credentials in time")]
    client = driver._routes.client_for

    def get(queue):
        if errors:
            raise errors.pop()
        return client(queue)

    driver._routes.client_for = get
    assert [BackendUnavailable] == [type(error) for error in settle(driver, (delivery, Ack()))]
    assert [None] == settle(driver, (delivery, Ack()))


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("set_by", [timedelta(hours=-1), timedelta(hours=1)])
def test_a_clock_that_is_set_ends_no_lease_and_prolongs_none(driver, sqs, clock, set_by):
    """SQS counts on its own; a span has passed, or it hasn't."""
    first, second = held(driver, 2)
    clock.step(set_by)
    clock.advance(LEASE - SECOND)
    (result,) = driver.extend([first.lease], LEASE)
    assert (None, clock.elapsed() + LEASE, clock.now() + LEASE) == (result.error, result.ends, result.expires_at)
    clock.step(-set_by)
    clock.advance(SECOND)
    assert [LeaseLost] == [type(error) for error in settle(driver, (second, Release()))]
    assert [None] == settle(driver, (first, Release()))


def test_a_machine_that_slept_has_lost_its_leases(driver, clock):
    """Suspended time counts."""
    (delivery,) = held(driver)
    clock.suspend(LEASE)
    assert LeaseLost is type(driver.extend([delivery.lease], LEASE)[0].error)


def test_a_purge_is_no_matter_of_the_wall_clock(driver, clock):
    """Set back, it doesn't end leases that begin after it; set forward, those before it don't go on."""
    (before,) = held(driver)
    clock.step(timedelta(hours=-1))
    driver.purge("q")
    clock.step(timedelta(hours=-1))
    clock.advance(SECOND)
    (after,) = held(driver)
    assert [LeaseLost, type(None)] == [type(error) for error in settle(driver, (before, Ack()), (after, Ack()))]
