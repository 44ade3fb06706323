"""Checking queues: each setting that loses messages, or stops them, is one problem."""

from __future__ import annotations

import json

import pytest

from cloudq.core.driver import QueueChecker
from cloudq.drivers.sqs import SQSDriver
from cloudq.errors import PermissionDenied
from tests.unit.drivers.sqs.fakes import FakeSqs, client_error

DEAD = {"mail": "mail-dlq", "mail.fifo": "mail-dlq.fifo"}
ARN = "arn:aws:sqs:test:1:"


@pytest.fixture(params=["mail", "mail.fifo"])
def queue(request):
    return request.param


@pytest.fixture
def sqs():
    return FakeSqs()


@pytest.fixture
def driver(sqs, queue):
    """With the queue as cloudq makes it."""
    driver = SQSDriver("test", client=sqs)
    driver.make_queue(queue)
    return driver


def test_what_cloudq_made_is_in_order(driver, queue):
    """Both kinds; it takes two calls, besides those for the URLs."""
    assert isinstance(driver, QueueChecker)
    assert [] == driver.check_queue(queue)


def test_what_is_missing(sqs, queue):
    """The queue and its dead-letter queue, each on its own; also where no call finds the URL."""
    dead = DEAD[queue]
    for driver in (SQSDriver("test", client=sqs), SQSDriver("test", client=sqs, account="1")):
        none, no_dead = driver.check_queue(queue)
        assert none == f"there is no queue {queue!r}: cloudq queues create {queue}"
        assert no_dead == f"there is no dead-letter queue {dead!r}: cloudq queues create {queue}"
    sqs.create_queue(QueueName=dead, Attributes={})
    assert [none] == SQSDriver("test", client=sqs).check_queue(queue)


def policy(target, count):
    return {"RedrivePolicy": json.dumps({"deadLetterTargetArn": ARN + target, "maxReceiveCount": count})}


@pytest.mark.parametrize(
    ("of_dead", "changed", "said"),
    [
        (False, {"MaximumMessageSize": "262144"}, "MaximumMessageSize=262144"),
        (True, {"MaximumMessageSize": "262144"}, "max_message_size"),
        (False, {"VisibilityTimeout": "0"}, "VisibilityTimeout=0"),
        (False, policy("other", 100), "cloudq looks for dead letters in"),
        (True, {"RedrivePolicy": "{}"}, "take it away"),
        (True, {"RedriveAllowPolicy": '{"redrivePermission":"denyAll"}'}, "may move nothing into it"),
        (True, {"MessageRetentionPeriod": "345600"}, "dead letters expire early"),
    ],
)
def test_what_is_set_wrong(driver, sqs, queue, *, of_dead, changed, said):
    """What it is, what follows, and what to set."""
    name = DEAD[queue] if of_dead else queue
    sqs.attributes[name] |= changed
    (problem,) = driver.check_queue(queue)
    assert said in problem
    assert name in problem


def test_a_redrive_policy_that_decides_before_the_retry_policy(driver, sqs, queue):
    """Too few receives, none, or no policy at all."""
    least = 21 if queue == "mail" else 100
    sqs.attributes[queue] |= policy(DEAD[queue], least)
    assert [] == driver.check_queue(queue)
    for count in (least - 1, "many"):
        sqs.attributes[queue] |= policy(DEAD[queue], count)
        (problem,) = driver.check_queue(queue)
        assert f"maxReceiveCount={count if count != 'many' else None}" in problem
        assert f"set it to {least} at least" in problem
    del sqs.attributes[queue]["RedrivePolicy"]
    (problem,) = driver.check_queue(queue)
    assert "has no RedrivePolicy" in problem


def test_a_dead_letter_queue_keeps_messages_for_longer(driver, sqs, queue):
    """On a standard queue their time counts on, so for as long isn't long enough; on a FIFO queue it is."""
    sqs.attributes[DEAD[queue]]["MessageRetentionPeriod"] = sqs.attributes[queue]["MessageRetentionPeriod"]
    problems = driver.check_queue(queue)
    assert (1 if queue == "mail" else 0) == len(problems)


def test_who_may_not_look_is_told(driver, sqs, queue):
    """It is no problem of the queue."""
    sqs.fail = lambda operation: client_error("AccessDenied", status=403)
    with pytest.raises(PermissionDenied):
        driver.check_queue(queue)
