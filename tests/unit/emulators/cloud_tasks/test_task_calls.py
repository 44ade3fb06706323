"""The calls about tasks, through the real client."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from google.api_core import exceptions as api
from google.cloud import tasks_v2
from google.protobuf.duration_pb2 import Duration

from cloudq.emulators.cloud_tasks import Settings
from tests.unit.emulators.cloud_tasks.bench import LOCATION, QUEUE, bench

FULL = tasks_v2.Task.View.FULL
BASIC = tasks_v2.Task.View.BASIC
LATER = timedelta(days=1)


def later(lab) -> dict[str, Any]:
    return {"schedule_time": lab.clock.now() + LATER}


def test_a_created_task_is_shown_completed(lab):
    """CreateTaskRequest: "If schedule_time is not set or is in the past then Cloud Tasks will set it to the current
    time"; HttpRequest: "The default is POST"; "User-Agent: This will be set to "Google-Cloud-Tasks""; Task: "the
    default is 10 minutes"."""
    lab.client.pause_queue(name=QUEUE)
    lab.advance(seconds=0.5)
    task = lab.create(
        schedule_time=lab.clock.now() - LATER, request={"headers": {"X-Mixed": "as it is", "user-agent": "mine"}}
    )
    assert task.name.startswith(f"{QUEUE}/tasks/")
    assert task.schedule_time == lab.clock.now()
    assert task.create_time == lab.clock.now().replace(microsecond=0)
    assert task.dispatch_deadline == timedelta(minutes=10)
    assert task.http_request.http_method == tasks_v2.HttpMethod.POST
    assert dict(task.http_request.headers) == {"X-Mixed": "as it is", "User-Agent": "Google-Cloud-Tasks"}
    assert (task.dispatch_count, task.response_count, bool(task.first_attempt)) == (0, 0, False)


def test_output_only_fields_of_a_task_are_ignored(lab):
    """Task.dispatch_count: "Output only. The number of attempts dispatched"."""
    attempt = {"dispatch_time": lab.clock.now()}
    task = lab.create(**later(lab), dispatch_count=9, response_count=9, first_attempt=attempt, last_attempt=attempt)
    assert (task.dispatch_count, task.response_count) == (0, 0)
    assert not task.first_attempt
    assert not task.last_attempt


def test_the_basic_view_has_no_body(lab):
    """Task.View.BASIC: "The basic view omits fields which can be large or can contain sensitive data"; VIEW_UNSPECIFIED
    "Defaults to BASIC"; FULL: "All information is returned"."""
    task = lab.create(**later(lab), request={"body": b"secret", "headers": {"a": "b"}})
    assert (task.view, task.http_request.body, task.http_request.headers["a"]) == (BASIC, b"", "b")
    assert lab.client.get_task(name=task.name).http_request.body == b""
    full = lab.client.get_task(request={"name": task.name, "response_view": FULL})
    assert (full.view, full.http_request.body) == (FULL, b"secret")
    [listed] = lab.client.list_tasks(request={"parent": QUEUE, "response_view": FULL})
    assert listed.http_request.body == b"secret"
    created = lab.client.create_task(
        request={"parent": QUEUE, "task": lab.task(**later(lab), request={"body": b"x"}), "response_view": FULL}
    )
    assert created.http_request.body == b"x"


def test_lists_of_tasks_come_in_pages(lab):
    """ListTasksRequest: "The maximum page size is 1000. If unspecified, the page size will be the maximum"."""
    one = {"parent": QUEUE, "task": lab.task(**later(lab))}
    for _ in range(11):
        lab.client.batch_create_tasks(request={"parent": QUEUE, "requests": [one] * 100})
    pages = list(lab.client.list_tasks(parent=QUEUE).pages)
    assert [1000, 100] == [len(page.tasks) for page in pages]
    assert len({task.name for page in pages for task in page.tasks}) == 1100
    first = next(iter(lab.client.list_tasks(request={"parent": QUEUE, "page_size": 2}).pages))
    for task in first.tasks:
        lab.client.delete_task(name=task.name)
    request = {"parent": QUEUE, "page_size": 1000, "page_token": first.next_page_token}
    assert len(next(iter(lab.client.list_tasks(request=request).pages)).tasks) == 1000
    with pytest.raises(api.InvalidArgument, match="page token"):
        list(lab.client.list_tasks(request={"parent": QUEUE, "page_token": "bm8="}))


def test_a_name_can_be_used_once(lab):
    """CreateTaskRequest: "If a task's ID is identical to that of an existing task or a task that was deleted or
    executed recently then the call will fail with ALREADY_EXISTS"; "It can take up to 24 hours [...] for the task ID
    to be released"."""
    lab.create("there", **later(lab))
    lab.create("ran")
    lab.create("deleted", **later(lab))
    lab.client.delete_task(name=f"{QUEUE}/tasks/deleted")
    lab.settle()
    for task_id in ("there", "ran", "deleted"):
        with pytest.raises(api.AlreadyExists, match="Requested entity already exists"):
            lab.create(task_id)
    lab.advance(hours=23.9)
    with pytest.raises(api.AlreadyExists):
        lab.create("ran")
    lab.advance(hours=0.1)
    lab.create("ran")
    lab.create("deleted")
    with pytest.raises(api.AlreadyExists):
        lab.create("there")  # it has run only now


def test_the_window_can_be_set():
    """`Settings.task_tombstone` is for how long a name stays taken: older pages of Google's say one hour."""
    with bench(Settings(task_tombstone=timedelta(hours=1))) as lab:
        lab.queue()
        lab.create("a")
        lab.advance(hours=1)
        lab.create("a")


def test_names_of_another_queue_are_refused(lab):
    """A task's name has to be one of the queue that it's created in."""
    other = f"{LOCATION}/queues/other"
    with pytest.raises(api.InvalidArgument) as raised:
        lab.client.create_task(parent=QUEUE, task=lab.task("x", other))
    assert raised.value.message == (
        f"The queue name from request ('{QUEUE}') must be the same as the queue name in the named task ('{other}')."
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"request": {"url": ""}}, "HttpRequest.url is required."),
        ({"request": {"url": "ftp://x"}}, "HttpTarget.url must start with 'http://' or 'https://'."),
        ({"request": {"url": "example.org"}}, "HttpTarget.url must start with 'http://' or 'https://'."),
        ({"request": {"url": "http://x/" + "a" * 2083}}, "HttpRequest.url must be at most 2083 characters long."),
        ({"request": {"http_method": 2, "body": b"x"}}, "HttpRequest.body is only allowed if"),
        ({"request": {"http_method": 77}}, "Invalid resource field value"),
        ({"request": {"headers": {"a": "b" * 81920}}}, "The size of the headers must be less than 80KB."),
        ({"request": {"headers": {"a": "b\r\nInjected: c"}}}, "The header 'a' is not one"),
        ({"request": {"headers": {"a b": "c"}}}, "The header 'a b' is not one"),
        ({"request": {"oidc_token": {"audience": "a"}}}, "HttpRequest.oidc_token.service_account_email is required."),
        ({"request": {"body": b"x" * 1_048_569}}, "Task size too large"),
        ({"dispatch_deadline": Duration(seconds=14)}, "Task.dispatchDeadline must be between [15s, 30m]."),
        ({"dispatch_deadline": Duration(seconds=1801)}, "Task.dispatchDeadline must be between [15s, 30m]."),
        ({"retry_config": {"max_attempts": -2}}, "RetryConfig.maxAttempts must be greater or equal to -1."),
    ],
)
def test_what_a_task_may_be(lab, fields, message):
    """Task.dispatch_deadline: "The deadline must be in the interval [15 seconds, 30 minutes]"; HttpRequest.body: "It
    is an error to set body on a task with an incompatible HttpMethod"; HttpRequest.headers: "less than 80KB";
    HttpRequest.url: "must begin with either "http://" or "https://"", "The maximum allowed URL length is 2083
    characters"."""
    with pytest.raises(api.InvalidArgument) as raised:
        lab.create(**fields)
    assert raised.value.message.startswith(message)


def test_other_kinds_of_tasks_are_refused(lab):
    """App Engine tasks aren't emulated, and say so; a task of no kind is none."""
    with pytest.raises(api.MethodNotImplemented, match="App Engine tasks are not emulated"):
        lab.client.create_task(parent=QUEUE, task={"app_engine_http_request": {"relative_uri": "/"}})
    with pytest.raises(api.InvalidArgument, match=r"Task\.http_request is required"):
        lab.client.create_task(parent=QUEUE, task={})


def test_the_far_future_is_refused(lab):
    """Google's quotas page: a task is scheduled at most 30 days ahead; the service's own words name the moment in
    California."""
    ok = lab.clock.now() + timedelta(days=30)
    assert lab.create(schedule_time=ok).schedule_time == ok
    with pytest.raises(api.InvalidArgument) as raised:
        lab.create(schedule_time=ok + timedelta(seconds=1))
    assert raised.value.message == (
        "The Task.scheduleTime, 2026-01-30T16:00:01-08:00, is too far in the future. "
        "Schedule time must be no more than 720h in the future."
    )


def test_sizes_can_be_set_to_the_docstrings():
    """CreateTask: "The maximum task size is 100KB", which the service doesn't hold to; `max_task_size` does."""
    with bench(Settings(max_task_size=100_000)) as lab:
        lab.queue()
        lab.create(request={"body": b"x" * 99_000})
        with pytest.raises(api.InvalidArgument, match="Task size too large"):
            lab.create(request={"body": b"x" * 100_000})


def test_a_task_that_is_over_isnt_found(lab):
    """GetTask: "After a task is successfully executed or has exhausted its retry attempts, the task is deleted. A
    GetTask request for a deleted task returns a NOT_FOUND error"; RunTask and DeleteTask are the same about it."""
    task = lab.create()
    lab.settle()
    gone = "The task no longer exists, though a task with this name existed recently."
    for call in (lab.client.get_task, lab.client.delete_task, lab.client.run_task):
        with pytest.raises(api.NotFound, match=gone):
            call(name=task.name)
        with pytest.raises(api.NotFound, match="Requested entity was not found"):
            call(name=f"{QUEUE}/tasks/never")
        with pytest.raises(api.InvalidArgument, match="Task name must be formatted"):
            call(name="never")


def test_a_queue_that_isnt_there_takes_no_tasks(lab):
    """CreateTaskRequest.parent: "The queue must already exist"."""
    for call in (
        lambda parent: lab.client.create_task(parent=parent, task=lab.task()),
        lambda parent: list(lab.client.list_tasks(parent=parent)),
    ):
        with pytest.raises(api.NotFound, match="Queue does not exist"):
            call(f"{LOCATION}/queues/nobodys")


def test_a_dispatched_task_can_be_deleted(lab):
    """DeleteTask: "A task can be deleted if it is scheduled or dispatched"; what its worker answers then changes
    nothing."""
    lab.worker.gate.clear()
    lab.worker.answers = [500]
    task = lab.create()
    assert lab.worker.arrived.wait(60)
    lab.client.delete_task(name=task.name)
    lab.worker.gate.set()
    lab.settle()
    lab.advance(days=1)
    assert lab.statuses() == [500]
    assert list(lab.client.list_tasks(parent=QUEUE)) == []


def test_tasks_expire(lab):
    """CreateQueue: "After a task is 31 days old, the task will be deleted regardless of whether it was dispatched or
    not"."""
    lab.client.pause_queue(name=QUEUE)
    lab.create("old")
    lab.advance(days=1)
    lab.create("younger")
    lab.advance(days=29, hours=23)
    assert len(list(lab.client.list_tasks(parent=QUEUE))) == 2
    lab.advance(hours=1)
    assert [f"{QUEUE}/tasks/younger"] == [task.name for task in lab.client.list_tasks(parent=QUEUE)]
    with pytest.raises(api.AlreadyExists):
        lab.create("old")
    lab.advance(days=1)
    assert list(lab.client.list_tasks(parent=QUEUE)) == []
    assert lab.worker.received == []


def test_relaxed_takes_short_deadlines():
    """Relaxed, a dispatch deadline may be a few milliseconds."""
    with bench(Settings(relaxed=True)) as lab:
        lab.queue()
        task = lab.create(dispatch_deadline=Duration(nanos=5_700_000), **later(lab))
        assert task.dispatch_deadline == timedelta(milliseconds=5)
        with pytest.raises(api.InvalidArgument):
            lab.create(dispatch_deadline=Duration())
