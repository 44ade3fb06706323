"""The policies of the AWS module allow what a run was seen to call, each action on each resource, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

import pytest

from cloudq import App
from cloudq.drivers.memory import MemoryDriver
from cloudq.drivers.sqs import SQSDriver
from localstack.start import ACCOUNT
from tests.chaos.http_proxy import Forward, HttpProxy, Request, Response
from tests.integration.processes import wait_until
from tests.integration.sqs.conftest import REGION, Place
from tests.integration.sqs.every_way import work_every_way
from tests.terraform.iam import actions_of_calls, allowed, policies
from tests.unit.worker.fakes import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240, func_only=True)]

DEAD = '{"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}'
START = "arn:aws:sqs:eu-west-1:123456789012:"
ROLE = "arn:aws:iam::123456789012:role/cloudq-scheduler"
ACTIONS = actions_of_calls()

Grants = set[tuple[str, str]]


class Recorder:
    """Counts the calls to SQS and to EventBridge Scheduler, by what IAM would be asked.

    Attributes:
        asked: How often, by action and resource; resources have the names that they'd have in the plan.
    """

    def __init__(self) -> None:
        self.asked: dict[tuple[str, str], int] = {}
        self._moved = ""

    def count(self, call: str, *resources: str) -> None:
        for action, resource in zip(ACTIONS[call], resources, strict=True):
            self.asked[action, resource] = self.asked.get((action, resource), 0) + 1

    async def __call__(self, request: Request, forward: Forward) -> Response | None:
        parameters = request.parameters
        path = request.head.split(b" ")[1].decode()
        if path.startswith("/schedules/"):
            assert request.head.startswith(b"POST ")
            schedule = f"arn:aws:scheduler:eu-west-1:123456789012:schedule/default/{path.rpartition('/')[2]}"
            self.count("CreateSchedule", schedule, parameters["Target"]["RoleArn"])
        elif "QueueUrl" in parameters:
            self.count(request.action, START + parameters["QueueUrl"].rpartition("/")[2])
        else:
            # A task is ended by its handle: it is the one of the queue that was named before.
            self._moved = parameters.get("SourceArn", self._moved)
            self.count(request.action, START + self._moved.rpartition(":")[2])
        return await forward(request)


@pytest.fixture
def recorder(proxy: HttpProxy) -> Recorder:
    """What the proxy before LocalStack counts with."""
    recorder = Recorder()
    proxy.policy = recorder
    return recorder


@pytest.fixture
def driver(proxy: HttpProxy, place: Place, queue: str) -> Iterator[SQSDriver]:
    """A driver behind the proxy, by the module's own URL but for the endpoint: it names the account and the role."""
    driver = SQSDriver(REGION, prefix=place.prefix, account=ACCOUNT, endpoint_url=proxy.url, scheduler_role=ROLE)
    yield driver
    driver.close()


@pytest.fixture
def module(workshop):
    """An initialised copy of the module."""
    copy = workshop.copy("aws-sqs")
    workshop.init(copy)
    return copy


@pytest.fixture
def planned(workshop, module, place: Place, queue: str):
    """The module's policies for the queue that the run has."""

    def planned(**variables: object) -> dict[str, Grants]:
        found = policies(workshop, module, prefix=place.prefix, queues={queue: {}}, **variables)
        return {who: allowed(statements) for who, statements in found.items()}

    return planned


def send_all(driver: SQSDriver, *, delay: timedelta) -> None:
    """Sends one, many, and a delayed one, by a task that does nothing."""
    app = App()
    task = app.task("noop")(lambda: None)
    with app.using(driver):
        task.send()
        task.options(delay=delay).send()
        app.send_many(task.call() for _ in range(20))


def test_producer(recorder, driver, planned) -> None:
    """A producer's policy is what sending asks for."""
    send_all(driver, delay=timedelta(minutes=10))
    assert planned()["producer"] == set(recorder.asked)


def test_worker(recorder, driver, planned, place, queue) -> None:
    """A worker's policy is what working asks for: leases, settling, retries, dead letters."""
    work_every_way(driver, place, queue, again_in=timedelta(minutes=10))
    assert planned()["worker"] == set(recorder.asked)


def test_operator(recorder, driver, planned, place, queue) -> None:
    """An operator's policy is what counting, showing, redriving and purging dead letters ask for."""
    app = App()
    dead = place.url_of(f"{queue}-dlq")
    with app.using(driver):
        letters = app.queue(queue).dead_letters
        app.queue(queue).stats()
        place.client.send_message(QueueUrl=dead, MessageBody=DEAD)
        assert letters.peek()
        letters.redrive()
        place.client.send_message(QueueUrl=dead, MessageBody=DEAD)
        letters.purge()
    assert planned()["operator"] == set(recorder.asked)


def test_purging(recorder, driver, planned, queue) -> None:
    """What is added for an operator who may purge is what purging asks for."""
    app = App()
    with app.using(driver):
        app.queue(queue).purge()
    assert planned(operators_may_purge=True)["operator"] - planned()["operator"] == set(recorder.asked)


def test_moving(recorder, driver, planned, place, queue) -> None:
    """What is added for an operator who may move is what a message move task asks for, from its start to its end."""
    place.client.send_message(QueueUrl=place.url_of(f"{queue}-dlq"), MessageBody=DEAD)
    app = App()
    with app.using(driver):
        started = app.queue(queue).dead_letters.move_all()
        started.progress()
        started.cancel()
    _adds(recorder, planned()["operator"], planned(operators_may_move=True)["operator"])


def test_scheduler_of_a_producer(recorder, driver, planned) -> None:
    """What the scheduler adds is what long delays ask for: a schedule, and handing on its role."""
    without, with_it = planned(), planned(scheduler=True)
    send_all(driver, delay=timedelta(days=2))
    _adds(recorder, without["producer"], with_it["producer"])


def test_scheduler_of_a_worker(recorder, driver, planned, place, queue) -> None:
    """The same for a worker's long retries."""
    without, with_it = planned(), planned(scheduler=True)
    work_every_way(driver, place, queue, again_in=timedelta(days=2))
    _adds(recorder, without["worker"], with_it["worker"])


def _adds(recorder: Recorder, without: Grants, with_it: Grants) -> None:
    """The option takes nothing away, and what it adds is what was asked beyond the rest."""
    assert without < with_it
    _covers(with_it - without, set(recorder.asked) - without)


@pytest.mark.parametrize("deletes", [False, True])
def test_claim_checks(planned, localstack: str, monkeypatch: pytest.MonkeyPatch, deletes: bool) -> None:
    """What a claim check adds is what storing, fetching, missing and deleting a payload in S3 ask for."""
    import boto3
    from aiobotocore.client import AioBaseClient

    asked: list[tuple[str, str]] = []
    call = AioBaseClient._make_api_call

    async def recorded(self: Any, operation: str, parameters: dict[str, Any]) -> Any:
        on = f"arn:aws:s3:::{parameters['Bucket']}" + (f"/{parameters['Key']}" if "Key" in parameters else "")
        asked.extend((action, on) for action in ACTIONS[operation])
        return await call(self, operation, parameters)

    monkeypatch.setenv("AWS_ENDPOINT_URL", localstack)
    client = boto3.client("s3")
    bucket = f"iam-payloads-{deletes}".lower()  # nobody removes it: LocalStack ends with the tests
    client.create_bucket(Bucket=bucket)

    def payloads() -> list[dict[str, str]]:
        return client.list_objects_v2(Bucket=bucket).get("Contents", [])

    store = {"bucket": bucket, "prefix": "a/b", "deletes": deletes}
    base, more = planned(), planned(claim_check=store)
    monkeypatch.setattr(AioBaseClient, "_make_api_call", recorded)
    app = App(claim_check=f"s3://{bucket}/a/b?threshold=2048{'&delete=acked' if deletes else ''}")
    ran: list[str] = []

    @app.task("t")
    def task(text: str) -> None:
        ran.append(text)

    with app.using(MemoryDriver()):
        task.send(text="x" * 5000)
        stored = set(asked)
        asked.clear()
        with running(app, wait=timedelta(0)):
            wait_until(lambda: ran and not (deletes and payloads()), within=60, what="the payload was used")
    _covers(more["producer"] - base["producer"], stored)
    # No call of ours: S3 looks at it when an object isn't there.
    fetched = set(asked) | {("s3:ListBucket", f"arn:aws:s3:::{bucket}")}
    _covers(more["worker"] - base["worker"], fetched)


def _covers(granted: Grants, asked: Grants) -> None:
    """All that was asked is granted, and nothing else. A pattern stands for names that come to be in the run."""
    pairs = {(grant, one) for grant in granted for one in asked if grant[0] == one[0] and fnmatchcase(one[1], grant[1])}
    assert {one for _, one in pairs} == asked
    assert {grant for grant, _ in pairs} == granted
