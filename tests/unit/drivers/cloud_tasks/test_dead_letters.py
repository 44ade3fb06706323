"""Dead letters, which are the tasks of a paused queue."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from google.api_core import exceptions as api
from google.cloud.tasks_v2 import HttpRequest, Task
from google.protobuf.timestamp_pb2 import Timestamp

from cloudq.core.driver import Ack, Final, NativeDeadLetter, Outgoing, Release
from cloudq.core.failure import Failure
from cloudq.drivers.cloud_tasks import dead_letters
from cloudq.errors import BackendUnavailable, LeaseLost, QueueNotFound, UnsupportedError
from cloudq.testing.clock import FakeClock
from tests.unit.drivers.cloud_tasks.fakes import URL, FakeCloudTasks, queue_name


@pytest.fixture
def service():
    return FakeCloudTasks("emails", "emails-dlq")


@pytest.fixture
def driver(service):
    return service.driver(FakeClock())


def died(driver, count=1):
    for number in range(count):
        body = b"%d" % number
        copy = Outgoing(id="1", queue="emails-dlq", body=body, native_id=f"n{number}", failure=Failure(reason="why"))
        (result,) = driver.send([copy])
        assert result.error is None
    return driver.dead_letters("emails")


def test_letters_of_one_moment_are_listed_in_the_order_of_dying(driver):
    """The service lists in any order; the time of death is kept apart to the microsecond."""
    letters = died(driver, 20)
    assert [b"%d" % number for number in range(20)] == [dead.body for dead in letters.peek(limit=100)]


def test_pages_are_of_one_look(driver, service):
    """The first page reads the queue, those behind it read nothing."""
    letters = died(driver, 5)
    pages, after = [], None
    while page := letters.peek(limit=2, after=after):
        pages.append([dead.body for dead in page])
        after = page[-1].key
    assert [[b"0", b"1"], [b"2", b"3"], [b"4"]] == pages
    assert 1 == service.calls.count("list_tasks")


def test_a_page_goes_on_behind_a_letter_that_is_gone(driver):
    """A key says where it stood, also to another look."""
    letters = died(driver, 3)
    first = letters.peek(limit=1)[0]
    letters.purge([first.key])
    assert [b"1"] == [dead.body for dead in driver.dead_letters("emails").peek(limit=1, after=first.key)]


def test_a_look_has_a_bound(driver, monkeypatch):
    """Of a huge dead-letter queue not everything is read."""
    monkeypatch.setattr(dead_letters, "MOST", 3)
    assert 3 == len(died(driver, 5).peek(limit=100))


@pytest.mark.parametrize("key", ["", "x", "4711", "0" * 14 + "-", "0" * 14 + "-a/../b", "../" * 9])
def test_a_key_that_is_none_finds_nothing(driver, service, key):
    """And asks the service nothing."""
    letters = died(driver)
    service.calls.clear()
    assert (letters.get(key), letters.purge([key]), list(letters.take([key], limit=1, lease=timedelta(1)))) == (
        None,
        0,
        [],
    )
    assert [] == service.calls


def test_what_somebody_else_put_there_is_listed_too(driver, service):
    """By the time at which the service created it, with no failure: nobody said why it is there."""
    created = Timestamp()
    created.FromJsonString("2026-01-01T00:00:07Z")
    name = queue_name("emails-dlq") + "/tasks/by-hand_1"
    task = Task(name=name, create_time=created, http_request=HttpRequest(url=URL, body=b"?"))
    service.tasks[queue_name("emails-dlq")][name] = task
    (dead,) = driver.dead_letters("emails").peek(limit=10)
    assert (dead.id, dead.body, dead.failure, str(dead.dead_at)) == (
        "by-hand_1",
        b"?",
        None,
        "2026-01-01 00:00:07+00:00",
    )
    assert dead == driver.dead_letters("emails").get(dead.key)


def test_a_late_ack_still_deletes(driver):
    """Its copy is stored by then. It is reported as late; a late release is, too."""
    letters = died(driver, 2)
    first, second = letters.take(None, limit=2, lease=timedelta(minutes=1))
    driver._clock.advance(timedelta(minutes=2))
    results = letters.settle([Final(lease=first.lease, step=Ack()), Final(lease=second.lease, step=Release())])
    assert [LeaseLost, LeaseLost] == [type(result.error) for result in results]
    assert [b"1"] == [dead.body for dead in letters.peek(limit=10)]


def test_a_dead_letter_has_one_name_whoever_takes_it(driver):
    """There are no leases here: by it two that redrive at once make one copy."""
    letters = died(driver, 2)
    names = [[one.copy for one in letters.take(None, limit=2, lease=timedelta(minutes=1))] for _ in range(2)]
    assert names[0] == names[1]
    assert 2 == len({*names[0]} - {None})


def test_many_that_were_listed_are_taken_by_one_call(driver, service):
    """A call each would take a hundred for a batch of a redrive. What is gone meanwhile isn't taken."""
    letters = died(driver, 5)
    keys = [dead.key for dead in letters.peek(limit=5)]
    driver.dead_letters("emails").purge([keys[1]])
    service.calls.clear()
    taken = letters.take([keys[3], keys[1], keys[0], keys[3]], limit=5, lease=timedelta(minutes=1))
    assert ["list_tasks"] == service.calls
    assert [b"3", b"0"] == [delivery.body for delivery in taken]
    assert [b"3"] == [delivery.body for delivery in letters.take(keys[2:], limit=5, lease=timedelta(minutes=1))][1:2]
    assert 1 == len(letters.take(keys, limit=1, lease=timedelta(minutes=1)))


def test_few_or_unlisted_ones_are_taken_one_by_one(driver, service, monkeypatch):
    """Also behind a look that ended at its bound: the queue may be of any length."""
    letters = died(driver, 5)
    keys = [dead.key for dead in letters.peek(limit=5)]
    service.calls.clear()
    assert 1 == len(letters.take(keys[:1], limit=5, lease=timedelta(minutes=1)))
    assert 2 == len(driver.dead_letters("emails").take(keys[:2], limit=5, lease=timedelta(minutes=1)))
    monkeypatch.setattr(dead_letters, "MOST", 3)
    listed = [dead.key for dead in letters.peek(limit=5)]
    assert 3 == len(letters.take(listed, limit=5, lease=timedelta(minutes=1)))
    assert {"get_task": 6, "list_tasks": 1} == Counter(service.calls)


def test_what_is_settled_together_is_deleted_by_one_call(driver, service):
    """Of each it is reported whether it was there still, also where the service has no batches."""
    letters = died(driver, 4)
    taken = letters.take(None, limit=4, lease=timedelta(minutes=1))
    finals = [Final(lease=one.lease, step=Ack()) for one in taken]
    letters.purge([letters.peek(limit=4)[1].key])
    service.calls.clear()
    assert [None, LeaseLost, None] == [result.error and type(result.error) for result in letters.settle(finals[:3])]
    assert ["batch_delete_tasks"] == service.calls
    service.fail = lambda method: api.MethodNotImplemented("no") if method.startswith("batch") else None
    assert [LeaseLost, None] == [result.error and type(result.error) for result in letters.settle(finals[2:])]
    assert [] == letters.peek(limit=4)


def test_an_error_of_one_is_none_of_another(driver, service):
    """Each of a batch has its own; what isn't deleted is there still."""
    letters = died(driver, 3)
    taken = letters.take(None, limit=3, lease=timedelta(minutes=1))
    second = taken[1].lease.receipt.task
    service.fail_deletion = lambda name: api.ServiceUnavailable("cut") if name == second else None
    results = letters.settle([Final(lease=one.lease, step=Ack()) for one in taken])
    assert [None, BackendUnavailable, None] == [result.error and type(result.error) for result in results]
    assert [b"1"] == [dead.body for dead in letters.peek(limit=3)]


def test_a_settlement_that_fails_is_reported(driver, service):
    """What isn't deleted is there still; a step that is none is refused."""
    letters = died(driver)
    (taken,) = letters.take(None, limit=1, lease=timedelta(minutes=1))
    service.fail = lambda method: api.ServiceUnavailable("cut")
    (result,) = letters.settle([Final(lease=taken.lease, step=Ack())])
    assert isinstance(result.error, BackendUnavailable)
    (result,) = letters.settle([Final(lease=taken.lease, step=NativeDeadLetter(failure=Failure(reason="x")))])
    assert isinstance(result.error, UnsupportedError)


def test_all_are_purged_by_batches(driver, service):
    """A thousand a call, or one by one where the service has no batches; those deleted meanwhile aren't counted."""
    letters = died(driver, 5)
    keys = [dead.key for dead in letters.peek(limit=5)]
    assert 2 == letters.purge([keys[0], keys[1], keys[0]])
    assert 1 == letters.purge(keys[1:3])
    assert 0 == letters.purge(keys[:3])
    assert 2 == letters.purge(None)
    service.fail = lambda method: api.MethodNotImplemented("no") if method.startswith("batch") else None
    assert 3 == died(service.driver(FakeClock()), 8).purge(None)


def test_a_dead_letter_queue_that_is_missing_is_said():
    """With the name that is missing."""
    letters = FakeCloudTasks("emails").driver().dead_letters("emails")
    with pytest.raises(QueueNotFound, match="emails-dlq"):
        letters.peek(limit=1)
    with pytest.raises(QueueNotFound, match="emails-dlq"):
        letters.purge(None)


@pytest.mark.parametrize(("bound", "value"), [("MOST", 3), ("MOST_BYTES", 3)])
def test_what_is_behind_the_bound_is_told_of(driver, monkeypatch, bound, value):
    """By number and by bytes of bodies, which here have one each."""
    letters = died(driver, 5)
    assert (5, False) == (len(letters.peek(limit=100)), letters.unseen)
    monkeypatch.setattr(dead_letters, bound, value)
    keys = [dead.key for dead in letters.peek(limit=100)]
    assert (3, True) == (len(keys), letters.unseen)


@pytest.mark.parametrize("way", ["get", "take", "purge"])
def test_chosen_ones_have_no_bound(driver, monkeypatch, way):
    """They are asked for by name, so those that aren't found are gone."""
    letters = died(driver, 5)
    monkeypatch.setattr(dead_letters, "MOST", 3)
    keys = [dead.key for dead in letters.peek(limit=100)]
    assert letters.unseen
    if way == "get":
        letters.get(keys[0])
    elif way == "take":
        letters.take(keys, limit=5, lease=timedelta(minutes=1))
    else:
        letters.purge(keys)
    assert not letters.unseen
