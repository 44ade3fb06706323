"""`cloudq doctor` on moto's server, which has SQS, Lambda and CloudWatch: each fault planted there is found."""

from __future__ import annotations

import io
import json
import re
import uuid
import zipfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import boto3
import pytest

from cloudq import App
from cloudq.cli.doctor.examination import Report, examine
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.drivers.sqs import SQSDriver
from localstack.start import ACCOUNT, CREDENTIALS
from tests.integration.doctor.modules import defaults
from tests.moto_server import moto_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

REGION = "us-east-1"
ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with moto_server() as url:
        yield url


class Place:
    """An app on that server with a task on `mail`, and what plants faults there."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.prefix = f"p{uuid.uuid4().hex[:8]}-"
        self.app = App(f"sqs://{REGION}?prefix={self.prefix}&endpoint_url={quote(server, safe='')}")
        self.app.task("welcome", queue="mail", time_limit=timedelta(seconds=57))(lambda: None)
        self.sqs = self.client("sqs")

    def client(self, name: str) -> Any:
        return boto3.client(name, region_name=REGION, endpoint_url=self._server)

    def made(self, *queues: str) -> Place:
        """With the queues as `cloudq queues create` makes them."""
        driver = self.app.driver()
        assert isinstance(driver, SQSDriver)
        for queue in queues or ("mail",):
            assert driver.make_queue(queue)
        return self

    def set(self, queue: str, **attributes: str) -> None:
        url = self.sqs.get_queue_url(QueueName=self.prefix + queue)["QueueUrl"]
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)

    def redrive(self, to: str, count: int) -> str:
        return json.dumps({"deadLetterTargetArn": ARN + self.prefix + to, "maxReceiveCount": count})

    def map(self, *, timeout: int = 60, **changes: Any) -> None:
        """Has a Lambda function of that timeout run the queue's messages."""
        name = f"f-{uuid.uuid4().hex[:8]}"
        role = self.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("f.py", "def handle(event, context): ...")
        self.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.12",
            Role=role,
            Handler="f.handle",
            Code={"ZipFile": code.getvalue()},
            Timeout=timeout,
        )
        mapping = {"FunctionResponseTypes": ["ReportBatchItemFailures"], **changes}
        self.client("lambda").create_event_source_mapping(
            EventSourceArn=f"{ARN}{self.prefix}mail", FunctionName=name, **mapping
        )

    def age(self, oldest: timedelta) -> None:
        """Has CloudWatch see a message of that age."""
        self.client("cloudwatch").put_metric_data(
            Namespace="AWS/SQS",
            MetricData=[
                {
                    "MetricName": "ApproximateAgeOfOldestMessage",
                    "Dimensions": [{"Name": "QueueName", "Value": f"{self.prefix}mail"}],
                    "Value": oldest.total_seconds(),
                    "Unit": "Seconds",
                }
            ],
        )

    def report(self, *queues: str) -> Report:
        return examine(self.app, queues or ("mail",), installed=lambda _: None)

    def found(self, *queues: str) -> list[str]:
        return [finding.fault.id for finding in self.report(*queues).findings]


@pytest.fixture
def place(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    made = Place(server)
    yield made
    made.app.close()


def test_what_cloudq_makes_has_no_fault(place):
    """Standard and FIFO; everything could be looked at."""
    report = place.made("mail", "orders.fifo").report("mail", "orders.fifo")
    assert ([], []) == ([finding.what for finding in report.findings], report.unchecked)


@pytest.mark.parametrize("queue", ["mail", "orders.fifo"])
def test_what_the_terraform_module_makes_has_no_fault(place, queue):
    """By the defaults of its variables: terraform/aws-sqs/variables.tf."""
    values = defaults("aws-sqs")
    ordered = queue.endswith(".fifo")
    dead = "orders-dlq.fifo" if ordered else "mail-dlq"
    kind = {"FifoQueue": "true"} if ordered else {}
    shared = {"MaximumMessageSize": values["max_message_bytes"], "SqsManagedSseEnabled": "true", **kind}
    allow = json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [ARN + place.prefix + queue]})
    kept = {"MessageRetentionPeriod": "1209600"}
    place.sqs.create_queue(QueueName=place.prefix + dead, Attributes={**shared, **kept, "RedriveAllowPolicy": allow})
    place.sqs.create_queue(
        QueueName=place.prefix + queue,
        Attributes={
            **shared,
            "VisibilityTimeout": values["visibility_timeout_seconds"],
            "MessageRetentionPeriod": values["retention_seconds"],
            "ReceiveMessageWaitTimeSeconds": "20",
            "RedrivePolicy": place.redrive(dead, 100 if ordered else 21),
        },
    )
    assert [] == [finding.what for finding in place.report(queue).findings]


def test_what_a_lambda_of_our_settings_makes_has_no_fault(place):
    """Six times the function's timeout, which has room for the task: as `cloudq terraform vars --lambda` writes it."""
    place.made().set("mail", VisibilityTimeout="360")
    place.map()
    report = place.report()
    assert ([], []) == ([finding.what for finding in report.findings], report.unchecked)


def _deleted(queue: str) -> Callable[[Place], object]:
    def plant(place: Place) -> None:
        place.sqs.delete_queue(QueueUrl=place.sqs.get_queue_url(QueueName=place.prefix + queue)["QueueUrl"])

    return plant


def _set(queue: str, **attributes: str) -> Callable[[Place], object]:
    return lambda place: place.set(queue, **attributes)


def _mapped(visibility: int = 360, **changes: Any) -> Callable[[Place], object]:
    def plant(place: Place) -> None:
        place.set("mail", VisibilityTimeout=str(visibility))
        place.map(**changes)

    return plant


def _redriven(to: str, count: int) -> Callable[[Place], object]:
    return lambda place: place.set("mail", RedrivePolicy=place.redrive(to, count))


def _to_fifo(place: Place) -> None:
    place.sqs.create_queue(QueueName=f"{place.prefix}mail-dlq.fifo", Attributes={"FifoQueue": "true"})
    _redriven("mail-dlq.fifo", 21)(place)


def _to_another(place: Place) -> None:
    place.sqs.create_queue(QueueName=f"{place.prefix}other")
    _redriven("other", 21)(place)


def _moves_on(place: Place) -> None:
    place.sqs.create_queue(QueueName=f"{place.prefix}more")
    place.set("mail-dlq", RedrivePolicy=place.redrive("more", 5))


def _impatient(place: Place) -> None:
    place.app.task("slow", queue="mail", lease=timedelta(hours=1))(lambda: None)


PLANTED: list[tuple[str, Callable[[Place], object]]] = [
    ("queue-missing", _deleted("mail")),
    ("dead-letter-queue-missing", _deleted("mail-dlq")),
    ("redrive-missing", _set("mail", RedrivePolicy="")),
    ("dead-letters-elsewhere", _to_another),
    ("dead-letter-queue-order", _to_fifo),
    ("dead-letter-queue-moves-on", _moves_on),
    ("dead-letter-retention", _set("mail-dlq", MessageRetentionPeriod="345600")),
    ("deliveries-few", _redriven("mail-dlq", 5)),
    ("lease-short", _set("mail", VisibilityTimeout="30")),
    ("lease-short", _impatient),
    ("messages-small", _set("mail", MaximumMessageSize="262144")),
    ("not-encrypted", _set("mail", SqsManagedSseEnabled="false")),
    ("queue-delays", _set("mail", DelaySeconds="60")),
    ("lambda-visibility", _mapped(visibility=359)),
    ("lambda-timeout", _mapped(timeout=30)),
    ("lambda-whole-batches", _mapped(FunctionResponseTypes=[])),
    ("queue-stopped", _mapped(Enabled=False)),
    ("nearly-expired", lambda place: place.age(timedelta(days=10))),
]


@pytest.mark.parametrize(("fault", "plant"), PLANTED, ids=[f"{n}-{fault}" for n, (fault, _) in enumerate(PLANTED)])
def test_a_planted_fault_is_found(place, fault, plant):
    """That one, and no other."""
    plant(place.made())
    assert [fault] == place.found()


def test_a_task_without_a_time_limit_that_lambda_runs(place):
    """Nothing would stop it but the end of the process."""
    place.app.task("endless", queue="mail")(lambda: None)
    _mapped()(place.made())
    assert ["lambda-no-time-limit"] == place.found()


def test_a_clock_that_is_off(place, monkeypatch):
    """By the date of the service's own answers."""
    place.made()
    now = SYSTEM_CLOCK.now
    monkeypatch.setattr(type(SYSTEM_CLOCK), "now", lambda _: now() + timedelta(minutes=2))
    (finding,) = place.report().findings
    assert "clock-off" == finding.fault.id
    assert re.fullmatch(r"this machine's clock is 2(\.\d+)? minutes ahead of the service's", finding.what)


def test_nothing_is_changed_by_looking(place):
    """Neither a message nor a setting, also where it asks for permissions."""
    url = place.made().sqs.get_queue_url(QueueName=f"{place.prefix}mail")["QueueUrl"]
    place.app.send("welcome")
    before = place.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert [] == place.found()
    assert before == place.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    (message,) = place.sqs.receive_message(QueueUrl=url, AttributeNames=["All"])["Messages"]
    assert "1" == message["Attributes"]["ApproximateReceiveCount"]
