"""The tests of the shop: they are the same before and after it moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest
from shop import tasks
from shop.app import app
from shop.world import Down, world


@pytest.fixture(autouse=True)
def eager():
    app.conf.task_always_eager = True
    app.conf.task_eager_propagates = False
    world.clear()
    yield
    app.conf.task_always_eager = False


def test_a_call_by_position_and_by_name():
    assert tasks.add.delay(1, 2).get() == 3
    assert tasks.add.delay(1, y=2).get() == 3
    assert tasks.add.apply_async(kwargs={"x": 1, "y": 5}).get(timeout=1) == 6
    assert tasks.add(2, 2) == 4


def test_a_bound_task_sees_its_request():
    result = tasks.mail_welcome.delay("a@example.com", language="de")
    assert result.get() == result.id
    assert world.mails == [("a@example.com", "de", result.id, 0)]


def test_a_retry_runs_it_again():
    world.bank.failures = 2
    result = tasks.charge.delay(7)
    assert result.get() == "done: 7"
    assert world.bank.calls == [7, 7, 7]


def test_a_retry_too_many_raises_what_went_wrong():
    world.bank.failures = 9
    result = tasks.charge.apply(args=(7,))
    assert result.failed()
    assert result.state == "FAILURE"
    assert isinstance(result.result, Down)
    assert len(world.bank.calls) == 4
    with pytest.raises(Down):
        result.get()


def test_a_failure_is_raised_where_that_is_set():
    app.conf.task_eager_propagates = True
    with pytest.raises(ValueError, match="bad"):
        tasks.export.delay("bad")
    world.bank.failures = 9
    with pytest.raises(tasks.Retry):
        tasks.charge.delay(7)


def test_retry_is_called_with_the_error_and_a_countdown():
    world.bank.failures = 1
    asked = tasks.Reject("stop")
    with mock.patch.object(tasks.charge, "retry", side_effect=asked) as retry, pytest.raises(tasks.Reject):
        tasks.charge(7)
    assert retry.call_args.kwargs["countdown"] == 1
    assert isinstance(retry.call_args.kwargs["exc"], Down)


def test_a_direct_call_raises_what_went_wrong():
    world.bank.failures = 1
    with pytest.raises(Down):
        tasks.charge(7)


def test_named_errors_are_retried_by_themselves():
    world.web.failures = 3
    assert tasks.fetch.delay("http://a.example").successful()
    assert len(world.web.calls) == 4


def test_named_errors_are_retried_as_often_as_is_said():
    world.web.failures = 99
    result = tasks.fetch.delay("http://a.example")
    assert isinstance(result.result, Down)
    assert len(world.web.calls) == 5


def test_a_time_and_an_expiry_are_taken():
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    tasks.mail_reminder.apply_async(("ann",), eta=tomorrow)
    tasks.mail_reminder.apply_async(("bob",), countdown=60)
    tasks.discount.apply_async(("ann",), expires=60)
    assert world.mails == [("ann", "reminder"), ("bob", "reminder")]
    assert world.discounts == ["ann"]


def test_a_route_and_a_queue_are_taken():
    tasks.resize.delay("a.png", height=50)
    tasks.resize.apply_async(("b.png",), queue="urgent")
    assert world.images == [("a.png", 100, 50), ("b.png", 100, 100)]


def test_a_soft_time_limit_is_caught():
    world.slow = tasks.SoftTimeLimitExceeded()
    assert tasks.report.delay(3).get() == "too long"


def test_hooks_of_a_base_are_called():
    assert tasks.export.delay("all").get() == "all"
    assert tasks.export.delay("bad").failed()
    assert world.hooks == [("success", "shop.tasks.export"), ("failure", "shop.tasks.export", "ValueError")]


def test_what_is_ignored_neither_succeeds_nor_fails():
    assert tasks.export.delay("none").state == "IGNORED"
    assert world.hooks == []


def test_no_more_retries_has_an_error_of_its_own():
    result = tasks.close.delay("monday")
    with pytest.raises(tasks.close.MaxRetriesExceededError):
        result.get()


def test_a_signature_is_a_call_for_later():
    later = tasks.add.s(1)
    assert later.delay(2).get() == 3
    assert tasks.add.si(3, 4).apply_async().get() == 7
    assert tasks.add.signature((5,), {"y": 6}).apply().get() == 11


def test_tasks_have_their_names():
    assert tasks.mail_reminder.name == "shop.tasks.mail_reminder"
    assert app.tasks["shop.close"].name == "shop.close"
