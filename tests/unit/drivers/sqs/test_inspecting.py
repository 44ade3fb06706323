"""What is read of a queue, and what this process may do with it: nothing is received, stored or changed."""

from __future__ import annotations

import json
from datetime import UTC, timedelta
from email.utils import format_datetime

import pytest

from cloudq.core.driver import PermissionProber, QueueInspector
from cloudq.core.queue_settings import QueueSettings
from cloudq.drivers.sqs import SQSDriver
from cloudq.errors import BackendUnavailable, PermissionDenied
from cloudq.testing.clock import FakeClock
from tests.unit.drivers.sqs.fakes import FakeSqs, client_error

ARN = "arn:aws:sqs:test:1:"
WORKS = ("SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch")


@pytest.fixture
def sqs():
    return FakeSqs()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def driver(sqs, clock):
    driver = SQSDriver("test", client=sqs, prefix="prod-", clock=clock)
    driver.make_queue("mail")
    return driver


def test_all_that_the_service_tells(driver, sqs):
    """Of a queue, by its attributes: names without the account, spans, sizes, whether it is encrypted."""
    assert isinstance(driver, QueueInspector)
    redrive = {"deadLetterTargetArn": f"{ARN}prod-mail-dlq", "maxReceiveCount": "21"}
    sqs.attributes["prod-mail"] |= {"SqsManagedSseEnabled": "true", "DelaySeconds": "5"}
    sqs.attributes["prod-mail"] |= {"RedrivePolicy": json.dumps(redrive)}
    assert driver.queue_settings("mail") == QueueSettings(
        name="prod-mail",
        resource=f"{ARN}prod-mail",
        ordered=False,
        lease=timedelta(minutes=2),
        max_deliveries=21,
        dead_letters_to="prod-mail-dlq",
        retention=timedelta(days=13),
        max_message=1024 * 1024,
        delay=timedelta(seconds=5),
        encrypted=True,
    )


@pytest.mark.parametrize(
    ("attributes", "name", "value"),
    [
        ({"RedrivePolicy": "?"}, "dead_letters_to", None),
        ({"FifoQueue": "true"}, "ordered", True),
        ({"KmsMasterKeyId": "alias/ours", "SqsManagedSseEnabled": "false"}, "encrypted", True),
        ({"SqsManagedSseEnabled": "false"}, "encrypted", False),
        ({"RedriveAllowPolicy": '{"redrivePermission":"denyAll"}'}, "dead_letters_from", ()),
        ({"RedriveAllowPolicy": '{"redrivePermission":"allowAll"}'}, "dead_letters_from", None),
        (
            {"RedriveAllowPolicy": json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [ARN + "x"]})},
            "dead_letters_from",
            ("x",),
        ),
        ({"VisibilityTimeout": "soon"}, "lease", None),
    ],
)
def test_what_an_attribute_means(driver, sqs, attributes, name, value):
    """What can't be read is as if it weren't there."""
    sqs.attributes["prod-mail"] |= attributes
    assert value == getattr(driver.queue_settings("mail"), name)


def test_a_queue_that_is_not_there(driver, sqs):
    """Also where no call finds the URL."""
    assert driver.queue_settings("other") is None
    assert SQSDriver("test", client=sqs, account="1").queue_settings("other") is None


@pytest.mark.parametrize(
    ("said", "ahead"),
    [("minute ago", timedelta(minutes=1)), ("noon", None), (None, None)],
    ids=["a date", "no date", "no headers"],
)
def test_how_far_the_clock_is_ahead(sqs, clock, monkeypatch, said, ahead):
    """By the answer's own date."""
    driver = SQSDriver("test", client=sqs, clock=clock)
    driver.make_queue("mail")
    plain = sqs.get_queue_attributes
    date = format_datetime(clock.now().replace(microsecond=0).astimezone(UTC) - timedelta(minutes=1), usegmt=True)
    headers = {} if said is None else {"date": date if said == "minute ago" else said}

    def dated(**parameters):
        return plain(**parameters) | {"ResponseMetadata": {"HTTPHeaders": headers}}

    monkeypatch.setattr(sqs, "get_queue_attributes", dated)
    told = driver.queue_settings("mail").ahead
    assert ahead == (told and timedelta(seconds=round(told.total_seconds())))


def test_who_may_not_look_is_told(driver, sqs):
    """It is nothing that is wrong with the queue."""
    sqs.fail = lambda operation: client_error("AccessDenied", status=403)
    with pytest.raises(PermissionDenied):
        driver.queue_settings("mail")


def test_permissions_are_asked_for_by_what_the_service_refuses(driver, sqs):
    """An empty batch, more messages than a receive brings: nothing is stored, taken or changed, whoever asks."""
    assert isinstance(driver, PermissionProber)
    before = {url: list(messages) for url, messages in sqs.queues.items()}
    sqs.calls.clear()
    assert [] == driver.missing_permissions("mail", works=True)
    assert sorted([*WORKS, "SendMessageBatch"]) == sorted(name for name in sqs.operations() if name != "GetQueueUrl")
    assert before == sqs.queues


@pytest.mark.parametrize(
    ("denied", "works", "missing"),
    [
        ("SendMessageBatch", False, ["sqs:SendMessage on prod-mail"]),
        ("SendMessageBatch", True, ["sqs:SendMessage on prod-mail", "sqs:SendMessage on prod-mail-dlq"]),
        ("ReceiveMessage", True, ["sqs:ReceiveMessage on prod-mail"]),
        ("DeleteMessageBatch", True, ["sqs:DeleteMessage on prod-mail"]),
        ("ChangeMessageVisibilityBatch", True, ["sqs:ChangeMessageVisibility on prod-mail"]),
        ("ReceiveMessage", False, []),
    ],
)
def test_what_is_denied_is_named(driver, sqs, denied, works, missing):
    """By the action of a policy, and the queue; a producer's role only sends."""
    sqs.fail = lambda operation: client_error("AccessDenied", status=403) if operation == denied else None
    assert missing == driver.missing_permissions("mail", works=works)


def test_a_service_that_is_down_is_no_permission_that_is_there(driver, sqs):
    """Nothing is known then, and that is raised."""
    sqs.fail = lambda operation: client_error("InternalError", status=500) if operation in WORKS else None
    with pytest.raises(BackendUnavailable):
        driver.missing_permissions("mail", works=True)
