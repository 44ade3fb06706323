"""Each setting that is a fault, planted; and what cloudq makes, and its modules, have none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from cloudq.cli.doctor.fault import Where
from cloudq.cli.doctor.queue_law import PLANNED, Looked, judge
from cloudq.cli.queue_needs import Cloud, Needs
from cloudq.core.queue_settings import QueueSettings
from cloudq.drivers.service_bus import limits as service_bus
from cloudq.drivers.sqs import limits as sqs

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
MIB = 1024 * 1024

# What `cloudq queues create` makes.
SQS = QueueSettings(
    name="p-mail",
    ordered=False,
    lease=2 * MINUTE,
    max_deliveries=21,
    dead_letters_to="p-mail-dlq",
    retention=13 * DAY,
    max_message=MIB,
    encrypted=True,
)
SQS_DEAD = QueueSettings(
    name="p-mail-dlq", ordered=False, retention=14 * DAY, max_message=MIB, dead_letters_to=None, encrypted=True
)
FIFO = replace(SQS, name="p-mail.fifo", ordered=True, max_deliveries=100, dead_letters_to="p-mail-dlq.fifo")
FIFO_DEAD = replace(SQS_DEAD, name="p-mail-dlq.fifo", ordered=True)
TASKS = QueueSettings(name="p-mail", retention=31 * DAY, max_backoff=5 * MINUTE, max_concurrent=10)
TASKS_DEAD = replace(TASKS, name="p-mail-dlq", stopped="paused")
BUS = QueueSettings(
    name="p-mail",
    ordered=False,
    lease=5 * MINUTE,
    max_deliveries=100,
    keeps_expired=True,
    max_message=256 * 1024,
    remembers=timedelta(0),
)
NEEDS = Needs(queue="mail", lease=2 * MINUTE, deliveries=20, limits={"shop.welcome": MINUTE})
BUS_CAN = service_bus.capabilities("mail", max_message=service_bus.MAX_MESSAGE, dedup_window=None)


def looked(cloud: Cloud, **changes: Any) -> Looked:
    """A queue as cloudq makes it, with a task that says nothing special."""
    settings, dead = {Cloud.AWS: (SQS, SQS_DEAD), Cloud.GOOGLE: (TASKS, TASKS_DEAD), Cloud.AZURE: (BUS, None)}[cloud]
    made = Looked(cloud=cloud, queue="mail", native="p-mail", settings=settings, dead=dead, needs=NEEDS)
    if cloud is Cloud.AZURE:
        made = replace(made, capabilities=BUS_CAN)
    return replace(made, **changes)


FIFO_LOOKED = Looked(
    cloud=Cloud.AWS,
    queue="mail.fifo",
    native="p-mail.fifo",
    settings=FIFO,
    dead=FIFO_DEAD,
    needs=replace(NEEDS, queue="mail.fifo"),
)


@pytest.mark.parametrize(
    "one",
    [looked(Cloud.AWS), FIFO_LOOKED, looked(Cloud.GOOGLE), looked(Cloud.AZURE), looked(Cloud.AWS, needs=None)],
    ids=["sqs", "fifo", "cloud tasks", "service bus", "nothing is known of the tasks"],
)
def test_what_cloudq_makes_has_no_fault(one):
    """Of each service, of an ordered queue, and where no task is known."""
    assert [] == list(judge(one))


def queue(**changes: Any) -> dict[str, Any]:
    return {"settings": changes}


def dead(**changes: Any) -> dict[str, Any]:
    return {"dead": changes}


PLANTED = [
    (Cloud.AWS, queue(ordered=True), "queue-order", "FifoQueue is on, and its name says off"),
    (Cloud.AWS, queue(lease=MINUTE), "lease-short", "VisibilityTimeout is 60, and its tasks are leased for 120"),
    (Cloud.AWS, queue(dead_letters_to=None), "redrive-missing", "it has no RedrivePolicy"),
    (Cloud.AWS, queue(dead_letters_to="other"), "dead-letters-elsewhere", "its RedrivePolicy is to 'other'"),
    (Cloud.AWS, queue(dead_letters_to="p-mail-dlq.fifo"), "dead-letter-queue-order", "its RedrivePolicy is to"),
    (Cloud.AWS, queue(max_deliveries=20), "deliveries-few", "maxReceiveCount is 20, and 21 is the least"),
    (Cloud.AWS, queue(max_deliveries=None), "deliveries-few", "maxReceiveCount is missing, and 21 is the least"),
    (Cloud.AWS, dead(ordered=True), "dead-letter-queue-order", "its dead-letter queue's FifoQueue is on"),
    (Cloud.AWS, dead(dead_letters_to="more"), "dead-letter-queue-moves-on", "its dead-letter queue has a Redrive"),
    (Cloud.AWS, dead(dead_letters_from=()), "dead-letters-refused", "its dead-letter queue's RedriveAllowPolicy lets"),
    (Cloud.AWS, dead(dead_letters_from=("p-x",)), "dead-letters-refused", "its dead-letter queue's RedriveAllow"),
    (Cloud.AWS, dead(retention=4 * DAY), "dead-letter-retention", "its dead-letter queue's MessageRetentionPeriod is"),
    (Cloud.AWS, dead(retention=13 * DAY), "dead-letter-retention", "its dead-letter queue's MessageRetentionPeriod"),
    (Cloud.AWS, queue(max_message=262144), "messages-small", "its MaximumMessageSize is 262144, and cloudq sends"),
    (Cloud.AWS, dead(max_message=262144), "messages-small", "its dead-letter queue's MaximumMessageSize is 262144"),
    (Cloud.AWS, queue(encrypted=False), "not-encrypted", "SqsManagedSseEnabled is off"),
    (Cloud.AWS, dead(encrypted=False), "not-encrypted", "its dead-letter queue's SqsManagedSseEnabled is off"),
    (Cloud.AWS, queue(delay=5 * MINUTE), "queue-delays", "DelaySeconds is 300"),
    (Cloud.GOOGLE, queue(stopped="paused"), "queue-stopped", "it is paused: it pushes nothing"),
    (Cloud.GOOGLE, dead(stopped=None), "dead-letter-queue-pushes", "its dead-letter queue isn't paused"),
    (Cloud.GOOGLE, queue(max_deliveries=5), "service-deletes", "max_attempts is 5, not -1"),
    (Cloud.GOOGLE, dead(max_deliveries=5), "service-deletes", "its dead-letter queue's max_attempts is 5"),
    (Cloud.GOOGLE, queue(gives_up_after=MINUTE), "service-deletes", "max_retry_duration is 60s"),
    (Cloud.GOOGLE, queue(max_backoff=MINUTE / 6), "backoff-short", "max_backoff is 10s"),
    (Cloud.GOOGLE, queue(max_concurrent=1000), "pushes-unbounded", "max_concurrent_dispatches is 1000"),
    (Cloud.GOOGLE, queue(max_concurrent=0), "pushes-unbounded", "max_concurrent_dispatches is 0"),
    (Cloud.GOOGLE, queue(pushes_to="x.example"), "pushed-elsewhere", "its http_target has everything pushed to 'x."),
    (Cloud.AZURE, queue(stopped="ReceiveDisabled"), "queue-stopped", "its status is ReceiveDisabled"),
    (Cloud.AZURE, queue(ordered=True), "queue-order", "requires_session is on, and its name says off"),
    (Cloud.AZURE, queue(lease=MINUTE), "lease-short", "lock_duration is PT1M, and its tasks are leased for 120"),
    (Cloud.AZURE, queue(max_deliveries=10), "deliveries-few", "max_delivery_count is 10, and 21 is the least"),
    (Cloud.AZURE, queue(keeps_expired=False), "expired-are-lost", "dead_lettering_on_message_expiration is off"),
    (Cloud.AZURE, queue(forwards_to="x"), "messages-forwarded", "forward_to is 'x'"),
    (Cloud.AZURE, queue(dead_letters_to="x"), "dead-letters-elsewhere", "forward_dead_lettered_messages_to is 'x'"),
    (Cloud.AZURE, queue(deleted_when_idle=DAY + MINUTE), "queue-deletes-itself", "auto_delete_on_idle is P1DT1M"),
    (Cloud.AZURE, queue(max_message=64 * 1024), "messages-small", "it takes messages of 65536 bytes"),
]


@pytest.mark.parametrize(("cloud", "changes", "fault", "words"), PLANTED)
def test_a_planted_fault_is_found(cloud, changes, fault, words):
    """That one, and no other; it says the values that are there, and what fixes it has no gap left."""
    plain = looked(cloud)
    changed = {name: replace(getattr(plain, name), **values) for name, values in changes.items()}
    (finding,) = judge(replace(plain, **changed))
    assert fault == finding.fault.id
    assert finding.what.startswith(words)
    assert "mail" == finding.queue
    assert "{" not in finding.command.replace("'{", "").replace('"{', "")
    assert finding.terraform is None or "{right}" not in finding.terraform


def test_what_is_not_there():
    """The queue, or its dead-letter queue where that is a queue of its own."""
    (missing,) = judge(looked(Cloud.AWS, settings=None))
    assert ("queue-missing", "there is no queue 'p-mail'") == (missing.fault.id, missing.what)
    (no_dead,) = judge(looked(Cloud.GOOGLE, dead=None))
    assert ("dead-letter-queue-missing", "cloudq queues create mail") == (no_dead.fault.id, no_dead.command)
    (planned,) = judge(looked(Cloud.AZURE, settings=None, vocabulary=PLANNED))
    assert ("the plan has no queue 'p-mail'", Where.SERVICE_BUS) == (planned.what, planned.where)


def test_what_the_service_can_not_do():
    """By the declarations, and by the name alone where no task is known."""
    slow = replace(NEEDS, limits={"shop.welcome": timedelta(hours=1)})
    (finding,) = judge(looked(Cloud.GOOGLE, needs=slow))
    assert "service-cannot" == finding.fault.id
    assert "may take 1:00:00" in finding.what
    (finding,) = judge(looked(Cloud.GOOGLE, needs=None, settings=None, possible=False))
    assert ("service-cannot", "'mail' can't be the name of a queue there") == (finding.fault.id, finding.what)


def test_ids_that_are_to_be_remembered():
    """A queue that remembers them for as long as the URL says, or longer, has no fault."""
    can = service_bus.capabilities("mail", max_message=service_bus.MAX_MESSAGE, dedup_window=10 * MINUTE)
    plain = looked(Cloud.AZURE, capabilities=can)
    for remembers, words in ((timedelta(0), "it detects no duplicates"), (MINUTE, "it knows repeated ids for PT1M")):
        (finding,) = judge(replace(plain, settings=replace(BUS, remembers=remembers)))
        assert "ids-not-remembered" == finding.fault.id
        assert finding.what.startswith(words)
    assert [] == list(judge(replace(plain, settings=replace(BUS, remembers=10 * MINUTE))))


def test_a_fifo_queues_dead_letters_may_be_kept_as_long():
    """Their time begins anew with the move."""
    assert [] == list(judge(replace(FIFO_LOOKED, dead=replace(FIFO_DEAD, retention=13 * DAY))))
    (finding,) = judge(replace(FIFO_LOOKED, settings=replace(FIFO, max_deliveries=99)))
    assert "maxReceiveCount is 99, and 100 is the least that lets the retry policy decide" == finding.what


def test_a_target_of_its_own_may_be_the_same():
    """A queue that itself names the worker's host pushes to nobody else."""
    same = replace(TASKS, pushes_to="worker.example")
    assert [] == list(judge(looked(Cloud.GOOGLE, settings=same, target="worker.example")))


def test_without_tasks_only_a_visibility_of_nothing_is_short():
    """Receives of cloudq's say their own."""
    assert [] == list(judge(looked(Cloud.AWS, needs=None, settings=replace(SQS, lease=MINUTE))))
    (finding,) = judge(looked(Cloud.AWS, needs=None, settings=replace(SQS, lease=timedelta(0))))
    assert "lease-short" == finding.fault.id


def test_without_tasks_the_default_retry_policy_is_what_has_to_decide():
    """Its deliveries are 20, on Service Bus as on SQS."""
    for cloud, settings in ((Cloud.AZURE, BUS), (Cloud.AWS, SQS)):
        for deliveries, ids in ((20, ["deliveries-few"]), (21, [])):
            one = looked(cloud, needs=None, settings=replace(settings, max_deliveries=deliveries))
            assert ids == [finding.fault.id for finding in judge(one)]


def test_a_command_that_fixes():
    """It names the queue on the service, and the value that is right."""
    (finding,) = judge(looked(Cloud.AWS, dead=replace(SQS_DEAD, retention=4 * DAY)))
    assert finding.command == (
        'aws sqs set-queue-attributes --queue-url "$(aws sqs get-queue-url --queue-name p-mail-dlq '
        f'--query QueueUrl --output text)" --attributes MessageRetentionPeriod={sqs.RETENTION.days * 86400}'
    )
    (finding,) = judge(looked(Cloud.GOOGLE, dead=replace(TASKS_DEAD, max_deliveries=5)))
    assert "gcloud tasks queues update p-mail-dlq --location LOCATION --max-attempts=-1" in finding.command
