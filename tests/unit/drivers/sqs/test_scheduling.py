"""Long delays by EventBridge Scheduler: a real botocore client against a scheduler on a local port."""

from __future__ import annotations

import json
from datetime import timedelta

import boto3
import pytest
from botocore.config import Config
from botocore.validate import validate_parameters
from msgspec.structs import replace

from cloudq import App
from cloudq.core import wire
from cloudq.core.driver import Ack, Final, Outgoing
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import Acked, Retried, Snoozed
from cloudq.core.plan import plan
from cloudq.core.processor import Processor
from cloudq.drivers.sqs import SQSDriver, bodies
from cloudq.drivers.sqs.client import open_client
from cloudq.drivers.sqs.scheduling import LONGEST, MAX_INPUT
from cloudq.errors import (
    BackendError,
    BackendUnavailable,
    ConfigurationError,
    PermissionDenied,
    Throttled,
    UnsupportedError,
)
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.opening import open_driver
from cloudq.testing.clock import FakeClock
from tests.unit.drivers.sqs.fakes import ENDPOINT, FakeSqs
from tests.unit.drivers.sqs.scheduler import FakeScheduler

ROLE = "arn:aws:iam::123456789012:role/cloudq/scheduler"
HOUR = timedelta(hours=1)
ZERO = timedelta(0)


@pytest.fixture(scope="module")
def server():
    with FakeScheduler() as scheduler:
        yield scheduler


@pytest.fixture
def scheduler(server):
    server.schedules.clear()
    server.fail = None
    server.calls = 0
    return server


@pytest.fixture
def sqs():
    return FakeSqs("q", "q-dlq", "q.fifo", "q-dlq.fifo", "pre-q", "pre-q-dlq")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture(scope="module")
def client(server):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "x")
        client = open_client("eu-west-1", server.url, "scheduler")
        client._request_signer._credentials.get_frozen_credentials()
    yield client
    client.close()


@pytest.fixture
def driver(sqs, clock, scheduler, client):
    return SQSDriver("eu-west-1", client=sqs, scheduler=client, scheduler_role=ROLE, clock=clock, look_wait=ZERO)


def send(driver, clock, *, delay=HOUR, queue="q", payload=None, **options):
    message = Message(
        id=options.pop("id", "1"), task="t", queue=queue, payload=payload or {}, sent_at=clock.now(),
        not_before=clock.now() + delay, **options,
    )  # fmt: skip
    return message, CloudQueue(queue, driver, clock=clock).send(message)


def receive(driver, queue="q"):
    return list(driver.receive(queue, limit=10, wait=ZERO, lease=timedelta(minutes=1)))


def test_a_long_delay_is_one_schedule_and_no_message(driver, sqs, clock, scheduler):
    """It sends the message when it is due, once, and is deleted then."""
    message, result = send(driver, clock, payload={"text": "ä <aws.scheduler.execution-id> \N{SNOWMAN}"})
    assert (None, 1) == (result.error, len(scheduler.schedules))
    assert 0 == scheduler.fire(clock.now() + HOUR - timedelta(seconds=1), sqs)
    assert [] == receive(driver)
    clock.advance(HOUR)
    assert (1, {}) == (scheduler.fire(clock.now(), sqs), scheduler.schedules)
    (delivery,) = receive(driver)
    assert message == delivery.message


def test_what_is_asked_of_the_service(driver, clock, scheduler):
    """A one-time schedule in UTC, without a window, on the call that stores the message; its failures are kept."""
    clock.advance(timedelta(microseconds=5))
    send(driver, clock)
    ((name, body),) = scheduler.schedules.items()
    assert 64 == len(name)
    due = clock.now() + HOUR
    assert timedelta(0) <= scheduler.due(name) - due < timedelta(seconds=1)
    assert "UTC" == body["ScheduleExpressionTimezone"]
    assert {"Mode": "OFF"} == body["FlexibleTimeWindow"]
    target = body["Target"]
    assert (ROLE, "arn:aws:sqs:eu-west-1:1:q-dlq") == (target["RoleArn"], target["DeadLetterConfig"]["Arn"])
    assert {"QueueUrl", "MessageBody"} == set(json.loads(target["Input"]))


def test_the_sdk_finds_nothing_wrong_with_it(driver, clock):
    """botocore's own validation, which the driver leaves out to save time, takes the parameters."""
    message = Message(id="1", task="t", queue="q", not_before=clock.now() + HOUR, fairness_key="f", idempotency_key="k")
    item = replace(CloudQueue("q", driver, clock=clock).prepared(message), failure=Failure(reason="x"))
    request = driver._schedules.request(item, f"{ENDPOINT}/123456789012/q")
    model = boto3.client("scheduler", "eu-west-1", config=Config()).meta.service_model
    validate_parameters(request, model.operation_model("CreateSchedule").input_shape)
    call = json.loads(request["Target"]["Input"])
    sqs = boto3.client("sqs", "eu-west-1").meta.service_model
    validate_parameters(call, sqs.operation_model("SendMessage").input_shape)
    assert ("f", {bodies.FAILURE}) == (call["MessageGroupId"], set(call["MessageAttributes"]))


def test_short_delays_stay_with_sqs(driver, sqs, clock, scheduler):
    """Up to 15 minutes, which it takes itself, ten messages a call."""
    items = [
        Outgoing(id=str(number), queue="q", body=b"{}", delay=delay)
        for number, delay in enumerate([ZERO, timedelta(minutes=15), timedelta(minutes=15, seconds=1), HOUR])
    ]
    assert [None] * 4 == [result.error for result in driver.send(items)]
    assert ["GetQueueUrl", "SendMessageBatch"] == sqs.operations()
    assert (2, 1) == (len(sqs.queues[f"{ENDPOINT}/1/q"]), len(scheduler.schedules)), "the two late bodies are one"


def test_a_repeat_finds_its_schedule_there(driver, clock, scheduler):
    """A send whose answer was lost, a copy after a crash: nothing is scheduled twice."""
    scheduler.lose_answer = True
    _, result = send(driver, clock)
    assert (None, 1) == (result.error, len(scheduler.schedules))
    assert 2 == scheduler.calls, "tried again, as the connection was cut"
    send(driver, clock, id="2", idempotency_key="k")
    _, again = send(driver, clock, id="3", idempotency_key="k")
    assert (True, 2) == (again.duplicate, len(scheduler.schedules))
    copy = Message(id="1", task="t", queue="q", not_before=clock.now() + HOUR).retry_copy(
        attempt_base=1, not_before=clock.now() + HOUR
    )
    for _ in range(2):
        driver.send([CloudQueue("q", driver, clock=clock).prepared(copy)])
    assert 3 == len(scheduler.schedules)


def test_messages_that_only_share_an_id_are_two(driver, clock, scheduler):
    """An id is unique within its source only."""
    send(driver, clock, source="a")
    send(driver, clock, source="b")
    assert 2 == len(scheduler.schedules)


def test_early_is_a_short_hop_and_late_is_fine(driver, sqs, clock, scheduler):
    """The service is precise to the minute: what comes early goes round once more, by SQS's own delay."""
    ran = []
    app = App("memory://")

    @app.task("t")
    def task() -> None:
        ran.append(clock.now())

    processor = Processor(app.runtime.handlers, clock=clock)
    message, _ = send(driver, clock)
    clock.advance(HOUR - timedelta(seconds=50))
    scheduler.fire(clock.now(), sqs, early=timedelta(minutes=1))
    (delivery,) = receive(driver)
    outcome = processor.process(delivery)
    assert isinstance(outcome, Snoozed)
    made = plan(delivery, outcome, driver.capabilities("q"), clock.now())
    (copy,) = made.copies
    assert timedelta(seconds=50) == copy.delay
    driver.send(made.copies)
    driver.settle([Final(lease=delivery.lease, step=Ack())])
    assert ({}, []) == (scheduler.schedules, ran)
    clock.advance(timedelta(minutes=2))
    (delivery,) = receive(driver)
    assert (Acked(), 1) == (processor.process(delivery), len(ran))
    assert (1, message.id) == (delivery.attempt, delivery.id)


def test_a_long_retry_keeps_its_failure(driver, sqs, clock, scheduler):
    """A copy is scheduled as a send is, with what is kept beside it."""
    driver.send([Outgoing(id="1", queue="q", body=wire.encode(Message(id="1", task="t", queue="q")))])
    (delivery,) = receive(driver)
    failure = Failure(reason="down <for> long", attempts=1)
    made = plan(delivery, Retried(delay=6 * HOUR, reason="x", failure=failure), driver.capabilities("q"), clock.now())
    assert [None] == [result.error for result in driver.send(made.copies)]
    driver.settle([Final(lease=delivery.lease, step=Ack())])
    clock.advance(6 * HOUR)
    assert 1 == scheduler.fire(clock.now(), sqs)
    (again,) = receive(driver)
    assert ("down <for> long", 2) == (again.failure.reason, again.attempt)


@pytest.mark.parametrize("body", [b"x" * MAX_INPUT, b"\xff\x00", b'{"text": "\x01"}'])
def test_what_no_schedule_takes_hops(driver, sqs, clock, scheduler, body):
    """A body too large for it is sent with SQS's longest delay; what isn't text travels as base64 as ever."""
    (result,) = driver.send([Outgoing(id="1", queue="q", body=body, delay=HOUR)])
    assert result.error is None
    if scheduler.schedules:
        scheduler.fire(clock.now() + HOUR, sqs)
    else:
        ((_, call),) = [call for call in sqs.calls if call[0] == "SendMessageBatch"]
        assert 900 == call["Entries"][0]["DelaySeconds"]
    assert body == receive(driver)[0].body
    assert (len(body) < MAX_INPUT) == (scheduler.calls == 1)


def test_a_failure_that_isnt_text_hops(driver, sqs, scheduler):
    """An attribute in bytes has no way through a schedule's JSON."""
    item = Outgoing(id="1", queue="q", body=b"{}", delay=HOUR, failure=Failure(reason="x\ufffe"))
    assert [None] == [result.error for result in driver.send([item])]
    assert {} == scheduler.schedules
    assert "x\ufffe" == receive(driver)[0].failure.reason


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((403, "AccessDeniedException"), PermissionDenied),
        ((429, "ThrottlingException"), Throttled),
        ((500, "InternalServerException"), BackendUnavailable),
        ((402, "ServiceQuotaExceededException"), BackendError),
        ((404, "ResourceNotFoundException"), BackendError),
        ((400, "ValidationException"), BackendError),
    ],
)
def test_an_error_is_reported_for_its_item(driver, scheduler, answer, kind):
    """Nothing falls back to hops behind the user's back, and the others of the batch are stored."""
    scheduler.fail = answer
    late, now = Outgoing(id="1", queue="q", body=b"{}", delay=HOUR), Outgoing(id="2", queue="q", body=b"{}")
    failed, stored = driver.send([late, now])
    assert (kind, None) == (type(failed.error), stored.error)
    assert answer[1] in str(failed.error)
    assert failed.error.__cause__ is not None
    if kind is PermissionDenied:
        assert "scheduler:CreateSchedule" in failed.error.hint
    assert 1 == len(receive(driver))


def test_a_scheduler_that_cant_be_reached_is_unavailable(sqs, clock, monkeypatch):
    """As SQS is."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    client = open_client("eu-west-1", "http://127.0.0.1:1", "scheduler")
    driver = SQSDriver("eu-west-1", client=sqs, scheduler=client, scheduler_role=ROLE, clock=clock)
    (result,) = driver.send([Outgoing(id="1", queue="q", body=b"{}", delay=HOUR)])
    assert isinstance(result.error, BackendUnavailable)
    driver.close()


def test_what_the_queues_can_do(driver, clock):
    """A standard queue delays for a year; a FIFO queue not at all, as ever; without a role all is as before."""
    assert (LONGEST, ZERO) == (driver.capabilities("q").max_delay, driver.capabilities("q.fifo").max_delay)
    message = Message(id="1", task="t", queue="q.fifo", ordering_key="k", not_before=clock.now() + HOUR)
    with pytest.raises(UnsupportedError):
        CloudQueue("q.fifo", driver, clock=clock).send(message)
    (result,) = driver.send([Outgoing(id="1", queue="q.fifo", body=b"{}", ordering_key="k", delay=HOUR)])
    assert isinstance(result.error, UnsupportedError)


def test_what_is_due_in_years_hops_once_a_year(driver, clock, scheduler):
    """By the Processor's own means: it arrives early."""
    send(driver, clock, delay=3 * LONGEST)
    (name,) = scheduler.schedules
    assert clock.now() + LONGEST == scheduler.due(name)


def test_the_url(monkeypatch):
    """`scheduler_role=` is an ARN of a role, in any of AWS's partitions."""
    for role in (ROLE, "arn:aws-cn:iam::123456789012:role/x", "arn:aws-us-gov:iam::123456789012:role/x"):
        driver = open_driver(f"sqs://eu-west-1?scheduler_role={role}", FakeClock())
        assert LONGEST == driver.capabilities("q").max_delay
        driver.close()
    for role in ("x", "arn:aws:iam::1:role/x", "arn:aws:iam::123456789012:user/x", ""):
        with pytest.raises(ConfigurationError, match="is not the ARN of a role"):
            open_driver(f"sqs://eu-west-1?scheduler_role={role}", FakeClock())


def test_the_dead_letters_of_a_queue_named_by_its_url_go_to_its_own(scheduler, client):
    """In the account and the region that the URL names, without the prefix."""
    url = "https://sqs.us-east-2.amazonaws.com/000000000007/mail"
    sqs = FakeSqs()
    sqs.queues = {url: [], f"{url}-dlq": []}
    driver = SQSDriver("eu-west-1", client=sqs, scheduler=client, scheduler_role=ROLE, prefix="prod-")
    assert None is driver.send([Outgoing(id="1", queue=url, body=b"{}", delay=HOUR)])[0].error
    (schedule,) = scheduler.schedules.values()
    assert {"Arn": "arn:aws:sqs:us-east-2:000000000007:mail-dlq"} == schedule["Target"]["DeadLetterConfig"]
