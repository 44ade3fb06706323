"""How tasks are pushed, tried again and given up, through the real client and to a real worker."""

from __future__ import annotations

from datetime import timedelta

import pytest
from google.cloud import tasks_v2
from google.protobuf.duration_pb2 import Duration

from cloudq.emulators.cloud_tasks import CloudTasksEmulator, End, Settings
from tests.unit.emulators.cloud_tasks.bench import LOCATION, QUEUE, bench
from tests.unit.emulators.cloud_tasks.worker import Answer, Worker

SECOND = timedelta(seconds=1)


def retries(lab, **config) -> str:
    """A queue with that retry config."""
    return lab.queue("retrying", retry_config=config).name


def offsets(lab) -> list[float]:
    """When the attempts began, in seconds after the first."""
    began = [attempt.dispatched for attempt in lab.emulator.attempts()]
    return [(when - began[0]).total_seconds() for when in began]


def run_on(lab, most: int = 20) -> None:
    """Moves the clock from one thing that happens to the next, until nothing does."""
    for _ in range(most):
        lab.settle()
        when = lab.emulator.next_at()
        if when is None:
            return
        lab.emulator.advance(when - lab.clock.now())


def test_the_request_is_the_tasks_own(lab):
    """HttpRequest: "The task will be pushed to the worker as an HTTP request"; "Content-Type won't be set by Cloud
    Tasks"; "Host: This will be computed"; "Content-Length: This will be computed"; "X-Google-*: Google use only";
    "X-AppEngine-*: Google use only"; "Several predefined headers, prefixed with "X-CloudTasks-""."""
    spoofed = {"Host": "evil", "Content-Length": "99", "X-Google-A": "1", "x-appengine-b": "2", "User-Agent": "me"}
    spoofed |= {"X-CloudTasks-TaskRetryCount": "77", "X-Own": "kept, as it is", "Transfer-Encoding": "chunked"}
    lab.create("t1", request={"body": b"\x00\xff", "http_method": "PUT", "headers": spoofed})
    lab.settle()
    [received] = lab.worker.received
    assert (received.method, received.path, received.body) == ("PUT", "/push", b"\x00\xff")
    headers = lab.worker.headers()
    host = lab.worker.url.split("/")[2]
    assert headers == {
        "host": host,
        "content-length": "2",
        "user-agent": "Google-Cloud-Tasks",
        "x-own": "kept, as it is",
        "x-cloudtasks-queuename": "emails",
        "x-cloudtasks-taskname": "t1",
        "x-cloudtasks-taskretrycount": "0",
        "x-cloudtasks-taskexecutioncount": "0",
        "x-cloudtasks-tasketa": f"{lab.clock.now().timestamp():.6f}",
    }


def test_methods_without_a_body(lab):
    """HttpMethod: GET, HEAD, DELETE and OPTIONS are sent without a body."""
    for method in ("GET", "HEAD", "DELETE", "OPTIONS", "PATCH", "POST"):
        lab.create(request={"http_method": method})
        lab.settle()
    assert [received.method for received in lab.worker.received] == [
        "GET",
        "HEAD",
        "DELETE",
        "OPTIONS",
        "PATCH",
        "POST",
    ]
    assert lab.statuses() == [200] * 6


def test_the_retry_headers_tell_of_the_attempts_before(lab):
    """Google's page on HTTP tasks: TaskRetryCount is "the number of times this task has been retried [...] including
    attempts where the task failed due to 5XX error codes and never reached the execution phase"; TaskExecutionCount
    "the number of times that the task has received a response from the handler [...] does not include failures due to
    5XX". The values are those that the service was recorded to send."""
    queue = retries(lab, max_attempts=-1)
    lab.worker.answers = [503, 404, 429, 500, 302]
    lab.create(queue=queue)
    run_on(lab)
    keys = ("taskretrycount", "taskexecutioncount", "taskpreviousresponse", "taskretryreason")
    seen = [tuple(lab.worker.headers(n).get(f"x-cloudtasks-{key}") for key in keys) for n in range(6)]
    assert seen == [
        ("0", "0", None, None),
        ("1", "0", "503", ""),
        ("2", "1", "404", ""),
        ("3", "2", "429", ""),
        ("4", "2", "500", ""),
        ("5", "3", "302", ""),
    ]
    assert lab.statuses() == [503, 404, 429, 500, 302, 200]


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_any_2xx_is_a_success(lab, status):
    """HttpRequest: "a successful HTTP response code ([200 - 299]), the task will be removed from the queue"."""
    lab.worker.answers = [status]
    lab.create()
    lab.settle()
    assert lab.statuses() == [status]
    assert list(lab.client.list_tasks(parent=QUEUE)) == []


@pytest.mark.parametrize("status", [302, 400, 404, 500])
def test_anything_else_is_tried_again(lab, status):
    """HttpRequest: "If any other HTTP response code is returned or no response is received, the task will be
    retried"."""
    lab.worker.answers = [status]
    task = lab.create()
    lab.settle()
    shown = lab.client.get_task(name=task.name)
    assert (shown.dispatch_count, shown.response_count) == (1, 1)
    assert shown.last_attempt.response_status.message.endswith(f"HTTP status code {status}")
    run_on(lab)
    assert lab.statuses() == [status, 200]


def test_redirects_are_followed_within_the_attempt(lab):
    """HttpRequest.url: "The Location header response from a redirect response [300 - 399] may be followed. The
    redirect is not counted as a separate attempt"."""
    lab.worker.answer = lambda r: Answer(307, (("Location", "/moved"),)) if r.path == "/push" else Answer(200)
    lab.create(request={"body": b"x"})
    lab.settle()
    assert [(r.path, r.body) for r in lab.worker.received] == [("/push", b"x"), ("/moved", b"x")]
    assert lab.statuses() == [200]


def test_a_redirect_without_end_is_a_failure(lab):
    """Redirects in a circle end the attempt."""
    lab.worker.answer = lambda _: Answer(302, (("Location", "/push"),))
    lab.create()
    lab.settle()
    [attempt] = lab.emulator.attempts()
    assert attempt.end is End.UNREACHABLE
    assert "TooManyRedirects" in attempt.reason


def test_the_backoff_is_the_queues(lab):
    """RetryConfig.max_doublings: "A task's retry interval starts at min_backoff, then doubles max_doublings times, then
    increases linearly, and finally retries at intervals of max_backoff"."""
    queue = retries(
        lab,
        max_attempts=8,
        min_backoff=10 * SECOND,
        max_backoff=300 * SECOND,
        max_doublings=3,
        max_retry_duration=SECOND,
    )
    lab.worker.answers = [500] * 99
    lab.create(queue=queue)
    run_on(lab)
    assert offsets(lab) == [0, 10, 30, 70, 150, 310, 550, 850]


def test_after_the_last_attempt_the_task_is_deleted(lab):
    """RetryConfig.max_attempts: "When the task has been attempted max_attempts times and when the max_retry_duration
    time has passed, no further attempts are made, and the task is deleted"."""
    lab.worker.answers = [500] * 99
    lab.create(queue=retries(lab, max_attempts=3))
    run_on(lab)
    assert lab.statuses() == [500] * 3
    assert list(lab.client.list_tasks(parent=f"{LOCATION}/queues/retrying")) == []


def test_both_limits_have_to_be_met(lab):
    """RetryConfig.max_attempts: "Cloud Tasks stops retrying only when max_attempts and max_retry_duration are both
    satisfied"; max_retry_duration: "measured from when the task was first attempted"."""
    lab.worker.answers = [500] * 99
    queue = retries(
        lab, max_attempts=2, max_retry_duration=50 * SECOND, min_backoff=20 * SECOND, max_backoff=20 * SECOND
    )
    lab.create(queue=queue)
    run_on(lab)
    assert offsets(lab) == [0, 20, 40, 60]


def test_unlimited_attempts_go_on_until_the_retention(lab):
    """RetryConfig: "If max_attempts is set to -1 and max_retry_duration is set to 0, the task is retried until the
    maximum task retention limit is reached"."""
    lab.worker.answers = [500] * 99
    day = timedelta(days=1)
    lab.create(queue=retries(lab, max_attempts=-1, min_backoff=day, max_backoff=day))
    run_on(lab, 50)
    assert offsets(lab)[-1] == 30 * 86_400
    assert lab.statuses() == [500] * 31
    assert list(lab.client.list_tasks(parent=f"{LOCATION}/queues/retrying")) == []


def test_a_tasks_own_retry_config_counts(lab):
    """Task.retry_config: "If present, this overrides the Queue.retry_config for this task"."""
    queue = retries(lab, max_attempts=9, min_backoff=100 * SECOND, max_backoff=100 * SECOND)
    lab.worker.answers = [500] * 99
    own = {"max_attempts": 3, "min_backoff": 5 * SECOND, "max_backoff": 5 * SECOND}
    lab.create(queue=queue, retry_config=own)
    run_on(lab)
    assert offsets(lab) == [0, 5, 10]


def test_a_deadline_ends_the_attempt(lab):
    """Task.dispatch_deadline: "If the worker does not respond by this deadline then the request is cancelled and the
    attempt is marked as a DEADLINE_EXCEEDED failure. Cloud Tasks will retry the task". The next attempt is told 504, as
    was recorded."""
    lab.worker.gate.clear()
    task = lab.create(dispatch_deadline=Duration(seconds=15))
    assert lab.worker.arrived.wait(60)
    lab.clock.advance(14.9 * SECOND)
    assert lab.emulator.attempts() == []
    lab.clock.advance(0.1 * SECOND)
    lab.settle()
    assert [attempt.end for attempt in lab.emulator.attempts()] == [End.DEADLINE]
    shown = lab.client.get_task(name=task.name)
    assert shown.last_attempt.response_status.code == 4
    assert (shown.dispatch_count, shown.response_count, bool(shown.last_attempt.response_time)) == (1, 0, False)
    lab.worker.gate.set()
    run_on(lab)
    assert lab.worker.headers()["x-cloudtasks-taskpreviousresponse"] == "504"
    assert lab.statuses() == [None, 200]


def test_a_worker_that_isnt_there(lab):
    """Attempt.response_status: an attempt without a response is UNAVAILABLE, and is tried again."""
    task = lab.create(request={"url": "http://127.0.0.1:1/"})
    lab.settle()
    [attempt] = lab.emulator.attempts()
    assert (attempt.end, attempt.status) == (End.UNREACHABLE, None)
    assert lab.client.get_task(name=task.name).last_attempt.response_status.code == 14


def test_attempts_show_on_the_task(lab):
    """Task.first_attempt: "Only dispatch_time will be set"; Attempt: "The time that this attempt was scheduled",
    "dispatched", "response was received"."""
    began = lab.clock.now()
    lab.worker.answers = [500, 404]
    task = lab.create(queue=retries(lab, min_backoff=10 * SECOND, max_backoff=10 * SECOND))
    lab.settle()
    lab.emulator.advance(10 * SECOND)
    shown = lab.client.get_task(name=task.name)
    assert shown.first_attempt.dispatch_time == began
    assert not shown.first_attempt.schedule_time
    last = shown.last_attempt
    assert (last.schedule_time, last.dispatch_time, last.response_time) == (began + 10 * SECOND,) * 3
    assert (last.response_status.code, last.response_status.message) == (5, "NOT_FOUND(5): HTTP status code 404")
    assert shown.schedule_time == began + 20 * SECOND


def test_the_rate_bounds_all_dispatches(lab):
    """Queue.rate_limits "controls the total rate of dispatches from a queue (i.e. all traffic dispatched from the
    queue, regardless of whether the dispatch is from a first attempt or a retry)"."""
    queue = lab.queue("slow", rate_limits={"max_dispatches_per_second": 2}).name
    for _ in range(6):
        lab.create(queue=queue)
    lab.settle()
    counts = [len(lab.worker.received)]
    for _ in range(4):
        lab.emulator.advance(SECOND / 2)
        counts.append(len(lab.worker.received))
    assert counts == [2, 3, 4, 5, 6]


def test_concurrency_is_bounded(lab):
    """RateLimits.max_concurrent_dispatches: "After this threshold has been reached, Cloud Tasks stops dispatching tasks
    until the number of concurrent requests decreases"."""
    queue = lab.queue("narrow", rate_limits={"max_concurrent_dispatches": 2}).name
    lab.worker.gate.clear()
    tasks = [lab.create(queue=queue) for _ in range(5)]
    counts = [lab.client.get_task(name=task.name).dispatch_count for task in tasks]
    assert counts == [1, 1, 0, 0, 0]
    lab.worker.gate.set()
    lab.settle()
    assert len(lab.worker.received) == 5


def test_run_task_ignores_pause_and_limits(lab):
    """RunTask: "Cloud Tasks will dispatch the task, even if the task is already running, the queue has reached its
    RateLimits or is PAUSED"; "If Cloud Tasks receives a successful response from the task's target, then the task
    will be deleted"."""
    lab.client.pause_queue(name=QUEUE)
    task = lab.create(schedule_time=lab.clock.now() + timedelta(days=3))
    shown = lab.client.run_task(name=task.name)
    assert (shown.dispatch_count, shown.response_count) == (1, 0)
    lab.settle()
    [attempt] = lab.emulator.attempts()
    assert attempt.forced
    assert list(lab.client.list_tasks(parent=QUEUE)) == []


def test_a_run_that_fails_is_scheduled_anew(lab):
    """RunTask: "otherwise the task's schedule_time will be reset to the time that RunTask was called plus the retry
    delay specified in the queue's RetryConfig"."""
    queue = retries(lab, min_backoff=10 * SECOND)
    lab.worker.answers = [500]
    task = lab.create(queue=queue, schedule_time=lab.clock.now() + timedelta(days=3))
    lab.client.run_task(name=task.name)
    lab.settle()
    assert lab.client.get_task(name=task.name).schedule_time == lab.clock.now() + 10 * SECOND
    run_on(lab)
    assert offsets(lab) == [0, 10]


def test_a_running_task_runs_twice(lab):
    """RunTask dispatches "even if the task is already running"; the task is over with the first success."""
    lab.worker.gate.clear()
    task = lab.create()
    assert lab.worker.arrived.wait(60)
    assert lab.client.run_task(name=task.name).dispatch_count == 2
    lab.worker.gate.set()
    run_on(lab)
    assert lab.statuses() == [200, 200]
    assert list(lab.client.list_tasks(parent=QUEUE)) == []


def test_a_run_counts_from_its_call(lab):
    """RunTask: the new schedule_time is "the time that RunTask was called plus the retry delay", however long the
    attempt took; the time for which it was scheduled before doesn't count any more."""
    queue = retries(lab, min_backoff=10 * SECOND)
    lab.worker.answers = [500]
    lab.worker.gate.clear()
    called = lab.clock.now()
    task = lab.create(queue=queue, schedule_time=called + 3 * SECOND)
    lab.client.run_task(name=task.name)
    assert lab.worker.arrived.wait(60)
    lab.clock.advance(4 * SECOND)
    assert lab.client.get_task(name=task.name).dispatch_count == 1
    lab.worker.gate.set()
    lab.settle()
    assert lab.client.get_task(name=task.name).schedule_time == called + 10 * SECOND


def test_the_last_of_two_attempts_decides(lab):
    """While RunTask's attempt of a task is under way, the failure of another doesn't have it dispatched a third
    time."""
    lab.worker.gate.clear()
    task = lab.create(dispatch_deadline=Duration(seconds=15))
    assert lab.worker.arrived.wait(60)
    lab.clock.advance(10 * SECOND)
    lab.client.run_task(name=task.name)
    lab.clock.advance(5 * SECOND)
    while not lab.emulator.attempts():  # each call lets the emulator go on
        lab.client.get_task(name=task.name)
    lab.clock.advance(5 * SECOND)
    assert lab.client.get_task(name=task.name).dispatch_count == 2
    lab.worker.gate.set()
    run_on(lab)
    assert [attempt.end for attempt in lab.emulator.attempts()] == [End.DEADLINE, End.SUCCEEDED]


def test_429_and_503_hold_the_whole_queue(lab):
    """Queue.rate_limits: "System throttling due to 429 (Too Many Requests) or 503 (Service Unavailable) responses
    from the worker"."""
    lab.worker.answers = [503]
    lab.create("refused")
    lab.settle()
    lab.create("another")
    lab.settle()
    assert len(lab.worker.received) == 1
    lab.emulator.advance(SECOND)
    assert sorted(lab.worker.headers(n)["x-cloudtasks-taskname"] for n in range(3)) == ["another", "refused", "refused"]
    assert lab.client.get_queue(name=QUEUE).rate_limits.max_dispatches_per_second == 500


def test_retry_after_is_kept(lab):
    """HttpRequest: "The retry specified in the Retry-After HTTP response header is considered"; other queues go on."""
    lab.worker.answer = lambda _: Answer(429, (("Retry-After", "120"),))
    lab.create()
    lab.settle()
    lab.worker.answer = lambda _: Answer(200)
    lab.emulator.advance(119 * SECOND)
    assert lab.statuses() == [429]
    lab.create(queue=lab.queue("other").name)
    lab.settle()
    assert lab.statuses() == [429, 200]
    lab.emulator.advance(SECOND)
    assert lab.statuses() == [429, 200, 200]


def test_a_500_holds_nobody_else(lab):
    """A plain error backs off its own task only."""
    lab.worker.answers = [500]
    lab.create()
    lab.settle()
    lab.create()
    lab.settle()
    assert lab.statuses() == [500, 200]


def test_an_update_counts_at_once(lab):
    """UpdateQueue: new limits hold for the tasks that are there."""
    queue = lab.queue("slow", rate_limits={"max_dispatches_per_second": 0.001}).name
    for _ in range(3):
        lab.create(queue=queue)
    lab.settle()
    assert len(lab.worker.received) == 1
    lab.client.update_queue(queue={"name": queue})
    lab.emulator.advance(SECOND)
    assert len(lab.worker.received) == 3


def test_a_queues_http_target_overrides_its_tasks():
    """HttpTarget: "all tasks with HttpRequest are overridden according to the target": URI, method, headers and
    authorization; "if the value is set to GET the body of the task will be ignored at execution time"."""
    with bench() as lab:
        port = int(lab.worker.url.split(":")[2].split("/")[0])
        override = {"scheme": "HTTP", "host": "127.0.0.1", "port": port}
        override |= {"path_override": {"path": "/all"}, "query_override": {"query_params": "a=b"}}
        target = {
            "uri_override": override,
            "http_method": tasks_v2.HttpMethod.GET,
            "header_overrides": [{"header": {"key": "X-Own", "value": "queue's"}}],
            "oidc_token": {"service_account_email": "queue@b.c", "audience": "everyone"},
        }
        queue = lab.queue("q", http_target=target).name
        request = {"url": "https://example.invalid/x?y=z", "body": b"x", "headers": {"x-own": "task's", "X-Kept": "1"}}
        lab.create(queue=queue, request=request)
        lab.create(queue=queue, request={"url": ""})
        lab.settle()
        assert {(r.method, r.path, r.body) for r in lab.worker.received} == {("GET", "/all?a=b", b"")}
        first = lab.worker.headers(0) if "x-kept" in lab.worker.headers(0) else lab.worker.headers(1)
        assert (first["x-own"], first["x-kept"]) == ("queue's", "1")
        assert first["authorization"].startswith("Bearer ey")


def test_the_machines_clock_works_too():
    """Without a clock to move, retries come by themselves, and waiting for idle waits for the rate limit."""
    worker = Worker()
    try:
        with CloudTasksEmulator(settings=Settings(relaxed=True)) as emulator:
            emulator.create_queue(
                tasks_v2.Queue(
                    name=QUEUE,
                    retry_config={"min_backoff": timedelta(milliseconds=1)},
                    rate_limits={"max_dispatches_per_second": 20},
                )
            )
            worker.answers = [500]
            client = emulator.client()
            client.create_task(parent=QUEUE, task={"http_request": {"url": worker.url}})
            while len(emulator.attempts()) < 2:
                assert worker.arrived.wait(60)
            one = {"parent": QUEUE, "task": {"http_request": {"url": worker.url}}}
            client.batch_create_tasks(request={"parent": QUEUE, "requests": [one] * 24})
            emulator.wait_idle()
            assert len(emulator.attempts()) == 26
    finally:
        worker.close()
