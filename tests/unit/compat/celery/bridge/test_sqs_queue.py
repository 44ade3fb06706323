"""Celery's queue on SQS, under leases. Here with the driver in memory; `tests/chaos/celery_bridge` has LocalStack."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.compat.celery.bridge import sqs_queue
from cloudq.compat.celery.bridge.sqs_queue import LEASE, SQSQueue, name_on_sqs
from cloudq.core.driver import Outgoing, SettleResult
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendUnavailable, LeaseLost, PermissionDenied
from cloudq.testing.clock import FakeClock
from tests.unit.compat.celery.bridge.messages import written

ZERO = timedelta(0)


class Failing(MemoryDriver):
    """Settles nothing as often as `errors` says."""

    errors: list[Exception]

    def settle(self, finals):
        if self.errors:
            error = self.errors.pop(0)
            return [SettleResult(error=error)] * len(finals)
        return super().settle(finals)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def driver(clock):
    driver = Failing(clock=clock)
    driver.errors = []
    driver.send([Outgoing(id=f"{n}", queue="celery", body=written(tag=f"{n}")) for n in range(3)])
    return driver


@pytest.fixture
def queue(driver, clock):
    return SQSQueue("celery", driver, clock)


def ready(driver, clock):
    """What a program that comes later is handed."""
    return len(driver.receive("celery", limit=10, wait=ZERO, lease=timedelta(seconds=1)))


def test_what_is_taken_is_deleted(queue, driver, clock):
    """Once it is."""
    found = queue.read(ZERO)
    assert 3 == len(found) == queue.waiting()
    queue.take(found)
    clock.advance(2 * LEASE)
    assert 0 == ready(driver, clock)


def test_what_is_left_is_hidden_until_the_end(queue, driver, clock):
    """However long the bridge runs, and without another receive that would be counted; then it is anybody's at once."""
    queue.leave(queue.read(ZERO))
    for _ in range(20):
        clock.advance(LEASE / 2)
        assert [] == queue.read(ZERO)
        assert 0 == ready(driver, clock)
    other = driver.share()
    queue.close()
    [first, *_] = other.receive("celery", limit=10, wait=ZERO, lease=LEASE)
    assert 2 == first.deliveries


def test_what_is_left_and_comes_again_is_known(queue, driver, clock):
    """Its lease was lost, as after a suspend."""
    queue.leave(queue.read(ZERO))
    clock.suspend(2 * LEASE)
    assert [] == queue.read(ZERO)
    assert 0 == ready(driver, clock)


def test_no_more_is_left_than_sqs_hides(queue, driver, monkeypatch):
    """Then nothing is read any more, so that what is there isn't hidden without a look at it."""
    queue.leave(queue.read(ZERO))
    monkeypatch.setattr(sqs_queue, "MOST_LEFT", 3)
    driver.send([Outgoing(id="late", queue="celery", body=written())])
    assert [] == queue.read(ZERO)


def test_a_deletion_is_tried_again(queue, driver, clock):
    """What fails for a reason that passes."""
    driver.errors = [BackendUnavailable("busy"), BackendUnavailable("busy")]
    queue.take(queue.read(ZERO))
    clock.advance(2 * LEASE)
    assert 0 == ready(driver, clock)


@pytest.mark.parametrize("errors", [[BackendUnavailable("down")] * 3, [PermissionDenied("no sqs:DeleteMessage")]])
def test_a_deletion_that_fails_ends_the_bridge(queue, driver, errors):
    """Else every message would be repeated, again and again."""
    driver.errors = list(errors)
    found = queue.read(ZERO)
    with pytest.raises(type(errors[0])):
        queue.take(found)
    assert [] == driver.errors


def test_a_lease_that_is_over_is_no_failure(queue, driver):
    """The message is stored; whoever reads it next repeats it."""
    driver.errors = [LeaseLost("over")]
    queue.take(queue.read(ZERO))


def test_what_is_left_in_a_fifo_queue_holds_back_its_group(clock):
    """Nothing overtakes it: what is behind it is counted, and comes once that is gone."""
    driver = MemoryDriver(clock=clock)
    for n, key in enumerate("ab" * 3):
        driver.send([Outgoing(id=f"{n}", queue="celery.fifo", body=written(tag=f"{n}"), ordering_key=key)])
    queue = SQSQueue("celery.fifo", driver, clock)
    assert 0 == queue.held_back()
    found = [*queue.read(ZERO), *queue.read(ZERO)]
    assert {"a", "b"} == {one.group for one in found}
    queue.leave([one for one in found if one.group == "a"])
    queue.take([one for one in found if one.group == "b"])
    while found := queue.read(ZERO):
        assert {"b"} == {one.group for one in found}
        queue.take(found)
    assert 2 == queue.held_back()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("celery", "celery"),
        ("shop.mails", "shop-mails"),
        ("a:b/c", "a_b_c"),
        ("x.y.fifo", "x-y.fifo"),
        ("a_b-c", "a_b-c"),
    ],
)
def test_names(name, expected):
    """As kombu writes them."""
    assert expected == name_on_sqs(name)


def test_every_mark_is_written_as_kombu_writes_it():
    """By kombu's own table."""
    from kombu.transport.SQS import CHARS_REPLACE_TABLE

    marks = "".join(chr(number) for number in range(33, 127))
    assert marks.translate(CHARS_REPLACE_TABLE) == name_on_sqs(marks)
