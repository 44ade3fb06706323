"""The calls about queues, through the real client."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from google.api_core import exceptions as api
from google.cloud import tasks_v2
from google.protobuf import field_mask_pb2

from cloudq.emulators.cloud_tasks import Settings
from tests.unit.emulators.cloud_tasks.bench import LOCATION, QUEUE, bench

NO_QUEUE = "Queue does not exist. If you just created the queue, wait at least a minute for the queue to initialize."
State = tasks_v2.Queue.State


def test_a_new_queue_has_the_services_defaults(lab):
    """RateLimits.max_dispatches_per_second: "If unspecified when the queue is created, Cloud Tasks will pick the
    default"; max_burst_size is "generally at least equal to max_dispatches_per_second"."""
    queue = lab.client.get_queue(name=QUEUE)
    assert queue.state == State.RUNNING
    assert queue.rate_limits.max_dispatches_per_second == 500
    assert queue.rate_limits.max_concurrent_dispatches == 1000
    assert queue.rate_limits.max_burst_size == 500
    retries = queue.retry_config
    assert (retries.max_attempts, retries.max_doublings) == (100, 16)
    assert (retries.min_backoff, retries.max_backoff) == (timedelta(seconds=0.1), timedelta(hours=1))
    assert not queue.purge_time


def test_output_only_fields_are_ignored(lab):
    """UpdateQueueRequest: "Any value specified for an output only field will be ignored"."""
    limits = {"max_burst_size": -5, "max_dispatches_per_second": 0.5}
    queue = lab.queue("q", rate_limits=limits, state=State.PAUSED, purge_time=lab.clock.now())
    assert (queue.state, queue.rate_limits.max_burst_size, bool(queue.purge_time)) == (State.RUNNING, 1, False)
    lab.client.pause_queue(name=queue.name)
    updated = lab.client.update_queue(queue={"name": queue.name, "state": State.RUNNING})
    assert updated.state == State.PAUSED


def test_a_name_that_exists_is_refused(lab):
    """CreateQueueRequest.queue: "Queue's name cannot be the same as an existing queue"."""
    with pytest.raises(api.AlreadyExists, match="Queue already exists"):
        lab.queue("emails")


def test_names_are_checked_with_the_services_own_words(lab):
    """Queue.name: "The queue name must have the following format: projects/PROJECT_ID/locations/LOCATION_ID/queues/
    QUEUE_ID"; the answer carries the address of that definition."""
    with pytest.raises(api.InvalidArgument) as raised:
        lab.queue("under_score")
    assert raised.value.message == (
        'Queue name must be formatted: "projects/<PROJECT_ID>/locations/<LOCATION_ID>/queues/<QUEUE_ID>".'
    )
    [help_] = raised.value.details
    assert help_.links[0].url.endswith("#Queue.FIELDS.name")
    with pytest.raises(api.InvalidArgument, match="must begin with projects/other/locations/l"):
        lab.client.create_queue(parent="projects/other/locations/l", queue={"name": f"{LOCATION}/queues/q"})
    with pytest.raises(api.InvalidArgument, match="Invalid resource field"):
        lab.client.create_queue(parent="shop", queue={"name": f"{LOCATION}/queues/q"})


LIMITS = "rate_limits"
RETRIES = "retry_config"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {LIMITS: {"max_dispatches_per_second": 500.5}},
            "RateLimits.maxDispatchesPerSecond must be less than or equal",
        ),
        ({LIMITS: {"max_dispatches_per_second": -1}}, "RateLimits.maxDispatchesPerSecond cannot be negative."),
        (
            {LIMITS: {"max_dispatches_per_second": float("nan")}},
            "RateLimits.maxDispatchesPerSecond cannot be negative.",
        ),
        (
            {LIMITS: {"max_concurrent_dispatches": 5001}},
            "RateLimits.maxConcurrentDispatches must be less than or equal",
        ),
        ({LIMITS: {"max_concurrent_dispatches": -1}}, "RateLimits.maxConcurrentDispatches cannot be negative."),
        ({RETRIES: {"max_attempts": -2}}, "RetryConfig.maxAttempts must be greater or equal to -1."),
        ({RETRIES: {"max_doublings": -1}}, "RetryConfig.maxDoublings cannot be negative."),
        ({RETRIES: {"min_backoff": timedelta(-1)}}, "RetryConfig.minBackoff cannot be negative."),
        ({RETRIES: {"max_backoff": timedelta(-1)}}, "RetryConfig.maxBackoff cannot be negative."),
        ({RETRIES: {"max_retry_duration": timedelta(-1)}}, "RetryConfig.maxRetryDuration cannot be negative."),
        (
            {RETRIES: {"min_backoff": timedelta(hours=2), "max_backoff": timedelta(hours=1)}},
            "RetryConfig.minBackoff must be less than or equal to RetryConfig.maxBackoff.",
        ),
        ({"http_target": {"uri_override": {"host": ""}}}, "HttpTarget.uri_override.host cannot be an empty string."),
        ({"http_target": {"uri_override": {"port": -1}}}, "HttpTarget.uri_override.port must be a positive integer."),
        (
            {"http_target": {"oidc_token": {"service_account_email": "a@b.c"}}},
            "HttpTarget.oidc_token.audience is required",
        ),
        (
            {"http_target": {"oauth_token": {"service_account_email": "a@b.c"}}},
            "HttpTarget.oauth_token.scope is required",
        ),
        ({"http_target": {"oidc_token": {"audience": "x"}}}, "HttpTarget.oidc_token.service_account_email is required"),
        ({"http_target": {"http_method": 99}}, "Invalid resource field value in the request."),
    ],
)
def test_settings_have_their_bounds(lab, fields: dict[str, Any], message):
    """RateLimits: "The maximum allowed value is 500" (dispatches a second), "5,000" (concurrent); RetryConfig: "Must be
    greater than or equal to -1"; HttpTarget: "Host value cannot be an empty string (INVALID_ARGUMENT)"."""
    with pytest.raises(api.InvalidArgument) as raised:
        lab.queue("q", **fields)
    assert raised.value.message.startswith(message)
    lab.queue("q")
    with pytest.raises(api.InvalidArgument):
        lab.client.update_queue(queue={"name": f"{LOCATION}/queues/q", **fields})


def test_lists_are_sorted_and_come_in_pages(lab):
    """ListQueues: "Queues are returned in lexicographical order"; "If the next_page_token is empty, there are no more
    results"."""
    for number in (3, 1, 2):
        lab.queue(f"q{number}")
    lab.client.create_queue(parent="projects/p/locations/l", queue={"name": "projects/p/locations/l/queues/alone"})
    pages = list(lab.client.list_queues(request={"parent": LOCATION, "page_size": 3}).pages)
    assert [["emails", "q1", "q2"], ["q3"]] == [[queue.name.split("/")[-1] for queue in page.queues] for page in pages]
    assert pages[-1].next_page_token == ""
    lab.client.pause_queue(name=f"{LOCATION}/queues/q2")
    paused = lab.client.list_queues(request={"parent": LOCATION, "filter": "state: PAUSED"})
    assert [f"{LOCATION}/queues/q2"] == [queue.name for queue in paused]


@pytest.mark.parametrize("request_", [{"page_token": "???"}, {"page_size": -1}, {"filter": "no filter"}])
def test_a_list_that_cant_be_made(lab, request_):
    """ListQueuesRequest.page_token: "page_token must be the value of next_page_token returned from the previous
    call"."""
    with pytest.raises(api.InvalidArgument):
        list(lab.client.list_queues(request={"parent": LOCATION, **request_}))


def test_an_update_changes_what_the_mask_names(lab):
    """UpdateQueueRequest.update_mask: "A mask used to specify which fields of the queue are being updated. If empty,
    then all fields will be updated"."""
    lab.queue("q", rate_limits={"max_dispatches_per_second": 5}, retry_config={"max_attempts": 7, "max_doublings": 3})
    asked = {"name": f"{LOCATION}/queues/q", "retry_config": {"max_attempts": -1}}
    mask = field_mask_pb2.FieldMask(paths=["retry_config.max_attempts"])
    queue = lab.client.update_queue(queue=asked, update_mask=mask)
    assert queue.rate_limits.max_dispatches_per_second == 5
    assert (queue.retry_config.max_attempts, queue.retry_config.max_doublings) == (-1, 3)
    queue = lab.client.update_queue(queue=asked)
    assert queue.rate_limits.max_dispatches_per_second == 500
    assert (queue.retry_config.max_attempts, queue.retry_config.max_doublings) == (-1, 16)
    with pytest.raises(api.InvalidArgument, match="update_mask"):
        lab.client.update_queue(queue=asked, update_mask=field_mask_pb2.FieldMask(paths=["no_such_field"]))


def test_a_mask_can_clear_a_field(lab):
    """What the mask names and the request leaves out is unspecified again."""
    lab.queue("q", http_target={"http_method": 4}, rate_limits={"max_dispatches_per_second": 5})
    mask = field_mask_pb2.FieldMask(paths=["http_target", "rate_limits.max_dispatches_per_second"])
    queue = lab.client.update_queue(queue={"name": f"{LOCATION}/queues/q"}, update_mask=mask)
    assert not queue.http_target
    assert queue.rate_limits.max_dispatches_per_second == 500


def test_an_update_creates_what_isnt_there(lab):
    """UpdateQueue: "This method creates the queue if it does not exist and updates the queue if it does exist"."""
    assert lab.client.update_queue(queue={"name": f"{LOCATION}/queues/new"}).state == State.RUNNING
    assert lab.client.get_queue(name=f"{LOCATION}/queues/new")


def test_a_deleted_queues_name_is_blocked_for_a_while(lab):
    """DeleteQueue: "you may be prevented from creating a new queue with the same name as the deleted queue for a
    tombstone window of up to 3 days"; it "will delete the queue even if it has tasks in it"."""
    lab.create(schedule_time=lab.clock.now() + timedelta(hours=1))
    lab.client.delete_queue(name=QUEUE)
    with pytest.raises(api.NotFound, match=NO_QUEUE):
        lab.client.get_queue(name=QUEUE)
    with pytest.raises(api.NotFound, match="Requested entity was not found"):
        lab.client.delete_queue(name=QUEUE)
    lab.advance(hours=71)
    with pytest.raises(api.FailedPrecondition, match="a queue with this name existed too recently"):
        lab.queue("emails")
    lab.advance(hours=1)
    lab.queue("emails")
    assert list(lab.client.list_tasks(parent=QUEUE)) == []
    assert lab.worker.received == []


def test_a_paused_queue_keeps_its_tasks(lab):
    """PauseQueue: "If a queue is paused then the system will stop dispatching tasks until the queue is resumed [...]
    Tasks can still be added when the queue is paused"."""
    assert lab.client.pause_queue(name=QUEUE).state == State.PAUSED
    lab.create()
    lab.advance(days=5)
    assert lab.worker.received == []
    assert lab.client.resume_queue(name=QUEUE).state == State.RUNNING
    lab.settle()
    assert len(lab.worker.received) == 1


def test_a_purge_deletes_all_tasks(lab):
    """PurgeQueue: "All tasks created before this method is called are permanently deleted"; Queue.purge_time: "The last
    time this queue was purged". The names stay taken: "The IDs of deleted tasks are not immediately available"."""
    lab.client.pause_queue(name=QUEUE)
    lab.create("named")
    lab.create()
    purged = lab.client.purge_queue(name=QUEUE)
    assert purged.purge_time == lab.clock.now()
    assert list(lab.client.list_tasks(parent=QUEUE)) == []
    with pytest.raises(api.AlreadyExists):
        lab.create("named")
    lab.create("other")
    updated = lab.client.update_queue(queue={"name": QUEUE})
    assert updated.purge_time == purged.purge_time
    lab.client.resume_queue(name=QUEUE)
    lab.settle()
    assert len(lab.worker.received) == 1


@pytest.mark.parametrize("call", ["get_queue", "pause_queue", "resume_queue", "purge_queue"])
def test_a_queue_that_isnt_there(lab, call):
    """Queue calls answer NOT_FOUND in the service's own words where there is no such queue."""
    with pytest.raises(api.NotFound) as raised:
        getattr(lab.client, call)(name=f"{LOCATION}/queues/nobodys")
    assert raised.value.message == NO_QUEUE


def test_relaxed_takes_higher_rates_and_finer_times():
    """Relaxed, a queue dispatches more than 500 tasks a second and backs off for fractions of one."""
    with bench(Settings(relaxed=True)) as lab:
        limits = {"max_dispatches_per_second": 10_000}
        queue = lab.queue(rate_limits=limits, retry_config={"min_backoff": timedelta(milliseconds=5)})
        assert queue.rate_limits.max_burst_size == 10_000
        assert queue.retry_config.min_backoff == timedelta(milliseconds=5)
