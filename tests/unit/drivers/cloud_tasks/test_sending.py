"""From an `Outgoing` to a task, and what becomes of a batch."""

from __future__ import annotations

import itertools
import time
from datetime import timedelta

import pytest
from google.api_core import exceptions as api
from google.cloud.tasks_v2 import HttpMethod

from cloudq.core.driver import Outgoing
from cloudq.core.failure import Failure
from cloudq.drivers.cloud_tasks import headers, limits
from cloudq.errors import BackendError, BackendUnavailable, MessageTooLarge, QueueNotFound, Throttled, UnsupportedError
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.testing.clock import FakeClock
from tests.unit.drivers.cloud_tasks.fakes import URL, FakeCloudTasks

IDS = itertools.count()
BODY = b'{"a": "\xc3\xa4"}\n '


@pytest.fixture
def service():
    return FakeCloudTasks("emails", "emails-dlq")


@pytest.fixture
def clock():
    return FakeClock()


def item(queue="emails", **changes):
    return Outgoing(**{"id": str(next(IDS)), "queue": queue, "body": BODY, **changes})


def errors(results):
    return [type(result.error) if result.error else None for result in results]


def test_a_body_is_posted_as_it_is(service, clock):
    """To the target, as a CloudEvent, at once, with the service's own deadline and without a name."""
    assert [None] == errors(service.driver(clock).send([item()]))
    (task,) = service.stored("emails")
    request = task.http_request
    assert (URL, HttpMethod.POST, BODY) == (request.url, request.http_method, request.body)
    assert {"Content-Type": "application/cloudevents+json", "Cloudq-Deadline": "600"} == dict(request.headers)
    assert timedelta(minutes=10) == task.dispatch_deadline
    assert task.schedule_time is None
    assert not request.oidc_token.service_account_email


def test_a_token_is_asked_for(service, clock):
    """For the account, and for the target unless another audience is given."""
    account = "pusher@my-project.iam.gserviceaccount.com"
    service.driver(clock, service_account=account).send([item()])
    service.driver(clock, service_account=account, audience="worker").send([item()])
    tokens = [task.http_request.oidc_token for task in service.stored("emails")]
    assert [(account, URL), (account, "worker")] == [(token.service_account_email, token.audience) for token in tokens]


def test_a_delay_is_a_schedule_time(service, clock):
    """To the microsecond. The longest is a minute less, as the service counts by its own clock; it then hops."""
    delays = [timedelta(seconds=1.5), timedelta(days=30)]
    service.driver(clock).send([item(delay=delay) for delay in delays])
    due = [task.schedule_time - clock.now() for task in service.stored("emails")]
    assert [timedelta(seconds=1.5), timedelta(days=30) - timedelta(minutes=1)] == due


@pytest.mark.parametrize(
    ("limit", "deadline"),
    [(1, 31), (0.5, 30.5), (300, 330), (1770, 1800), (1799, 1800), (1800, 1800)],
)
def test_a_time_limit_is_a_deadline(service, clock, limit, deadline):
    """With a margin in which a retry's copy is stored, within the 15 s to 30 min that the service takes."""
    service.driver(clock).send([item(time_limit=timedelta(seconds=limit))])
    (task,) = service.stored("emails")
    assert timedelta(seconds=deadline) == task.dispatch_deadline == headers.deadline_of(task.http_request.headers)
    assert timedelta(seconds=15) <= task.dispatch_deadline <= timedelta(minutes=30)


def test_a_dead_letter_is_due_far_ahead(service, clock):
    """So that a dead-letter queue that somebody resumes runs nothing for weeks (semantics 5)."""
    service.driver(clock).send([item("emails-dlq", failure=Failure(reason="it broke"))])
    (task,) = service.stored("emails-dlq")
    assert task.schedule_time - clock.now() > timedelta(days=29)
    assert BODY == task.http_request.body
    assert clock.now() == headers.dead_at_of(task.http_request.headers)
    assert Failure(reason="it broke") == headers.failure_of(task.http_request.headers)


def test_a_failure_of_a_retry_is_small(service, clock):
    """Many servers refuse a request whose header is larger than 8 KiB. With a dead letter nothing is pushed."""
    failure = Failure(reason="it broke", traceback="x" * 12_000)
    service.driver(clock).send([item(failure=failure)])
    service.driver(clock).send([item("emails-dlq", failure=failure)])
    small, whole = (service.stored(queue)[0].http_request.headers for queue in ("emails", "emails-dlq"))
    assert len(small[headers.FAILURE]) <= 4096
    assert "it broke" == headers.failure_of(small).reason
    assert failure == headers.failure_of(whole)


def test_a_native_id_is_a_task_s_name(service, clock):
    """The same one again isn't stored, and said to be a duplicate; also within a call."""
    driver = service.driver(clock)
    results = [*driver.send([item(native_id="k")]), *driver.send([item(native_id="k"), item(native_id="l")] * 2)]
    assert [False, True, False, True, True] == [result.duplicate for result in results]
    assert [None] * 5 == errors(results)
    assert 2 == len(service.stored("emails"))


def test_one_is_created_several_are_a_batch(service, clock):
    """In one call each, without any call that looks at the queue first (no control call at run time)."""
    driver = service.driver(clock)
    driver.send([item()])
    driver.send([item(id=str(number)) for number in range(100)])
    assert ["create_task", "batch_create_tasks"] == service.calls
    assert 101 == len(service.stored("emails"))


def test_items_fail_alone(service, clock):
    """Those that the service refuses, and those that never get there; the others are stored."""
    service.fail_item = lambda task: api.ResourceExhausted("quota") if task.http_request.body == b"no" else None
    too_large = b"x" * (limits.LARGEST + 1)
    items = [item(), item(body=b"no"), item(body=too_large), item(ordering_key="k"), item(fairness_key="k"), item()]
    expected = [None, Throttled, MessageTooLarge, UnsupportedError, UnsupportedError, None]
    assert expected == errors(service.driver(clock).send(items))
    assert 2 == len(service.stored("emails"))
    assert [UnsupportedError] == errors(service.driver(clock).send([item(delay=timedelta(days=30, seconds=1))]))


def test_a_batch_of_which_nothing_is_stored_says_why_of_each(service, clock):
    """The operation as a whole ends with an error then, which says less than those of the items."""
    service.fail_item = lambda task: api.ResourceExhausted("quota")
    assert [Throttled] * 3 == errors(service.driver(clock).send([item()] * 3))


def test_a_missing_queue_is_said_of_each(service, clock):
    """By one call or by the other."""
    driver = service.driver(clock)
    assert [QueueNotFound] == errors(driver.send([item("nope")]))
    assert [QueueNotFound] * 2 == errors(driver.send([item("nope")] * 2))


def test_a_service_without_batches_gets_its_tasks_one_by_one(service, clock):
    """It is asked once, and not again."""
    service.fail = lambda method: api.MethodNotImplemented("no") if method.startswith("batch") else None
    driver = service.driver(clock)
    results = driver.send([item(native_id=key) for key in "aba"])
    assert [False, False, True] == [result.duplicate for result in results]
    driver.send([item(), item()])
    assert 1 == service.calls.count("batch_create_tasks")
    assert 5 == service.calls.count("create_task")


def test_an_operation_that_is_not_over_is_waited_for(service, clock):
    """Nothing is said to be stored before the service says so."""
    service.pending = 2
    service.fail_item = lambda task: api.ResourceExhausted("quota") if task.http_request.body == b"no" else None
    assert [None, Throttled] == errors(service.driver(clock).send([item(), item(body=b"no")]))
    assert 2 == service.calls.count("get_operation")


def test_an_operation_that_never_ends_is_not_waited_for_for_ever(service, clock):
    """Whether it stored anything isn't known then, so nothing is said to be stored."""
    service.pending = 10_000
    driver = service.driver(clock, timeout=timedelta(seconds=0.6))
    began = time.monotonic()
    assert [BackendUnavailable] * 2 == errors(driver.send([item(), item(id="2")]))
    assert time.monotonic() - began < 30


def test_an_operation_that_cannot_be_asked_about_is_not_stored(service, clock):
    """Each item has the error, once: CloudQueue tries again, not the SDK."""
    service.pending = 5
    service.fail = lambda method: api.ServiceUnavailable("cut") if method == "get_operation" else None
    assert [BackendUnavailable] * 2 == errors(service.driver(clock).send([item(), item()]))
    assert 1 == service.calls.count("get_operation")


def test_what_an_answer_does_not_mention_is_not_stored(service, clock):
    """A service that forgets an item in its answer must not make us lose it. Those that it names are stored."""
    service.forgotten = 1
    results = service.driver(clock).send([item(native_id="a"), item(native_id="b"), item()])
    assert [None, None, BackendUnavailable] == errors(results)


def test_a_call_that_fails_is_an_error_of_each_item(service, clock):
    """Whatever the SDK raised; send never raises."""
    service.fail = lambda method: api.ServiceUnavailable("cut")
    driver = service.driver(clock)
    assert [BackendUnavailable] == errors(driver.send([item()]))
    assert [BackendUnavailable] * 2 == errors(driver.send([item(), item()]))
    service.fail = lambda method: RuntimeError("a mistake of ours")
    assert [RuntimeError] == errors(driver.send([item()]))
    driver.close()
    assert [BackendError] * 2 == errors(driver.send([item(), item()]))
    assert service.closed


def test_a_name_that_cloud_tasks_cannot_have_is_refused(service, clock):
    """Before a call is made."""
    assert [UnsupportedError] * 2 == errors(service.driver(clock).send([item("my_queue"), item("my_queue")]))
    assert [] == service.calls


@pytest.mark.parametrize("dead", [False, True], ids=["retry", "dead letter"])
def test_what_the_service_delivered_it_takes_as_a_copy(service, clock, dead):
    """Another program's body of 100,000 bytes, and of a megabyte: `max_body` bounds what is sent, no copy."""
    failure = Failure(reason="r", traceback="t" * 4_000)
    queue = "emails-dlq" if dead else "emails"
    copies = [item(queue, body=b"x" * size, failure=failure, native_id=str(size)) for size in (100_000, 1_000_000)]
    results = CloudQueue("emails", service.driver(clock), clock=clock).store_copies(copies)
    assert [None, None] == errors(results)
    assert {100_000, 1_000_000} == {len(task.http_request.body) for task in service.stored(queue)}


def test_the_details_are_cut_to_what_a_task_may_hold(service, clock):
    """A body just as large as the service's task lets it be is a dead letter with less beside it."""
    failure = Failure(reason="why", traceback="t" * 4_000)
    body = b"x" * (limits.LARGEST - 200)
    copy = item("emails-dlq", body=body, failure=failure)
    assert [None] == errors(CloudQueue("emails", service.driver(clock), clock=clock).store_copies([copy]))
    (task,) = service.stored("emails-dlq")
    kept = headers.failure_of(task.http_request.headers)
    assert "why" == kept.reason
    assert len(kept.traceback or "") < 200


def test_a_smaller_limit_of_the_service_is_kept(service, clock):
    """Where Google holds a task to 100 KB: it says no number, so the details are left out step by step."""
    service.fail_item = lambda task: (
        api.InvalidArgument("Task size too large") if type(task).pb(task).ByteSize() > 102_500 else None
    )
    queue = CloudQueue("emails", service.driver(clock), clock=clock)
    failure = Failure(reason="why", error_message="m" * 900, traceback="t" * 4_000)
    for calls in (2, 4):
        copy = item("emails-dlq", body=b"x" * 100_000, failure=failure)
        assert [None] == errors(queue.store_copies([copy]))
        assert calls == len(service.calls)
    kept = [headers.failure_of(task.http_request.headers) for task in service.stored("emails-dlq")]
    assert ["why", "why"] == [one.reason for one in kept]
