"""Where a plan doesn't fit the declarations: each difference is named."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import timedelta

import pytest

from cloudq.cli.plan_faults import Planned, faults, undeclared, unknown
from cloudq.cli.queue_needs import Cloud, Needs
from cloudq.errors import ConfigurationError

ARN = "arn:aws:sqs:eu-west-1:123456789012:"


def resource(type_: str, name: str, **values: object) -> dict[str, object]:
    return {"address": f"{type_}.{name}", "type": type_, "index": name, "values": {"name": name, **values}}


def sqs(name: str, dead: str, *, fifo: bool, receives: int) -> list[dict[str, object]]:
    redrive = json.dumps({"deadLetterTargetArn": ARN + dead, "maxReceiveCount": receives})
    shared = {"fifo_queue": fifo, "max_message_size": 1048576}
    return [
        resource(
            "aws_sqs_queue",
            name,
            visibility_timeout_seconds=360,
            message_retention_seconds=1123200,
            redrive_policy=redrive,
            **shared,
        ),
        resource("aws_sqs_queue", dead, message_retention_seconds=1209600, **shared),
    ]


def cloud_tasks(name: str, state: str | None) -> dict[str, object]:
    retry = {"max_attempts": -1, "max_retry_duration": "0s", "max_backoff": "300s"}
    return resource("google_cloud_tasks_queue", name, desired_state=state, retry_config=[retry])


def service_bus(name: str, *, sessions: bool) -> dict[str, object]:
    return resource(
        "azurerm_servicebus_queue",
        name,
        requires_session=sessions,
        lock_duration="PT2M",
        max_delivery_count=100,
        dead_lettering_on_message_expiration=True,
    )


PLANS = {
    Cloud.AWS: [
        *sqs("emails", "emails-dlq", fifo=False, receives=21),
        *sqs("orders.fifo", "orders-dlq.fifo", fifo=True, receives=100),
        {
            "address": "aws_lambda_event_source_mapping.this",
            "type": "aws_lambda_event_source_mapping",
            "index": "emails",
            "values": {"function_response_types": ["ReportBatchItemFailures"]},
        },
    ],
    Cloud.GOOGLE: [cloud_tasks("emails", None), cloud_tasks("emails-dlq", "PAUSED")],
    Cloud.AZURE: [service_bus("emails", sessions=False), service_bus("orders.fifo", sessions=True)],
}
EMAILS = Needs(
    queue="emails", lease=timedelta(minutes=2), deliveries=20, limits={"shop.welcome": timedelta(seconds=57)}
)
ORDERS = Needs(queue="orders.fifo", lease=timedelta(minutes=2), deliveries=20, limits={"shop.ship": None}, keyed=("x",))
NEEDS = {Cloud.AWS: [EMAILS, ORDERS], Cloud.GOOGLE: [EMAILS], Cloud.AZURE: [EMAILS, ORDERS]}


def plan(resources: list[dict[str, object]]) -> Planned:
    """The resources of a module that is called by a module."""
    return Planned(
        {"planned_values": {"root_module": {"child_modules": [{"child_modules": [{"resources": resources}]}]}}}
    )


def said(cloud: Cloud, resources: list[dict[str, object]], needs: list[Needs] | None = None) -> list[str]:
    return [f"{queue}: {words}" for queue, words in faults(plan(resources), cloud, needs or NEEDS[cloud])]


def changed(cloud: Cloud, place: int, **values: object) -> list[dict[str, object]]:
    resources = deepcopy(PLANS[cloud])
    resources[place]["values"] |= values  # type: ignore[operator]  # a dict
    return resources


@pytest.mark.parametrize("cloud", Cloud)
def test_fits(cloud):
    """A plan that has what the tasks ask for has no faults, and its cloud is known by it."""
    assert [] == said(cloud, PLANS[cloud])
    assert [cloud] == plan(PLANS[cloud]).clouds()


REDRIVE = json.dumps({"deadLetterTargetArn": ARN + "emails-dlq", "maxReceiveCount": 5})
ELSEWHERE = json.dumps({"deadLetterTargetArn": ARN + "other", "maxReceiveCount": 21})


@pytest.mark.parametrize(
    ("cloud", "place", "values", "words"),
    [
        (Cloud.AWS, 0, {"name": "email"}, "emails: the plan has no queue 'emails'"),
        (Cloud.AWS, 1, {"name": "emails-dead"}, "emails: the plan has no dead-letter queue 'emails-dlq'"),
        (Cloud.AWS, 2, {"visibility_timeout_seconds": 60}, "orders.fifo: visibility_timeout_seconds is 60, and its"),
        (Cloud.AWS, 0, {"visibility_timeout_seconds": 300}, "emails: visibility_timeout_seconds is 300, and six times"),
        (Cloud.AWS, 0, {"redrive_policy": None}, "emails: it has no redrive_policy"),
        (Cloud.AWS, 0, {"redrive_policy": ELSEWHERE}, "emails: its redrive_policy is to 'other', and cloudq looks in"),
        (Cloud.AWS, 0, {"redrive_policy": REDRIVE}, "emails: maxReceiveCount is 5, and 21 is the least"),
        (Cloud.AWS, 0, {"redrive_policy": "?"}, "emails: it has no redrive_policy"),
        (Cloud.AWS, 2, {"fifo_queue": False}, "orders.fifo: fifo_queue is off, and its name says on"),
        (Cloud.AWS, 3, {"fifo_queue": False}, "orders.fifo: its dead-letter queue's fifo_queue is off"),
        (Cloud.AWS, 1, {"message_retention_seconds": 345600}, "emails: its dead-letter queue's message_retention_"),
        (Cloud.AWS, 1, {"max_message_size": 262144}, "emails: its dead-letter queue's max_message_size is 262144"),
        (Cloud.AWS, 4, {"function_response_types": None}, "emails: its Lambda mapping doesn't have ReportBatchItem"),
        (Cloud.GOOGLE, 0, {"name": "email"}, "emails: the plan has no queue"),
        (Cloud.GOOGLE, 1, {"name": "email-dlq"}, "emails: the plan has no dead-letter queue"),
        (Cloud.GOOGLE, 0, {"desired_state": "PAUSED"}, "emails: it is paused"),
        (Cloud.GOOGLE, 1, {"desired_state": None}, "emails: its dead-letter queue isn't paused"),
        (Cloud.GOOGLE, 0, {"retry_config": []}, "emails: max_attempts is 100, not -1"),
        (Cloud.GOOGLE, 0, {"retry_config": [{"max_attempts": 5}]}, "emails: max_attempts is 5, not -1"),
        (Cloud.GOOGLE, 1, {"retry_config": [{"max_attempts": 5}]}, "emails: its dead-letter queue's max_attempts is 5"),
        (
            Cloud.GOOGLE,
            0,
            {"retry_config": [{"max_attempts": -1, "max_retry_duration": "3600s"}]},
            "emails: max_retry_duration is 3600s",
        ),
        (
            Cloud.GOOGLE,
            0,
            {"retry_config": [{"max_attempts": -1, "max_backoff": "10s"}]},
            "emails: max_backoff is 10s",
        ),
        (Cloud.AZURE, 0, {"name": "email"}, "emails: the plan has no queue"),
        (Cloud.AZURE, 1, {"requires_session": False}, "orders.fifo: requires_session is off, and its name says on"),
        (Cloud.AZURE, 0, {"requires_session": True}, "emails: requires_session is on, and its name says off"),
        (
            Cloud.AZURE,
            0,
            {"lock_duration": "PT1M30S"},
            "emails: lock_duration is PT1M30S, and its tasks are leased for",
        ),
        (Cloud.AZURE, 0, {"max_delivery_count": 20}, "emails: max_delivery_count is 20, and 21 is the least"),
        (Cloud.AZURE, 0, {"lock_duration": None}, "emails: lock_duration is PT1M, and its tasks are leased for 120"),
        (
            Cloud.AWS,
            4,
            {"maximum_batching_window_in_seconds": 20},
            "emails: visibility_timeout_seconds is 360, and six times the function's time-out and the batching window",
        ),
        (Cloud.AZURE, 0, {"max_delivery_count": None}, "emails: max_delivery_count is 10"),
        (Cloud.AZURE, 0, {"dead_lettering_on_message_expiration": False}, "emails: dead_lettering_on_message"),
    ],
)
def test_named(cloud, place, values, words):
    """A difference is named, with the queue's name and what would be right; nothing else is."""
    found = said(cloud, changed(cloud, place, **values))
    assert found
    assert found[0].startswith(words)
    assert len(found) == 1


def test_unlimited_by_lambda():
    """A queue that Lambda runs needs time limits."""
    endless = Needs(queue="emails", lease=timedelta(minutes=2), deliveries=20, limits={"shop.welcome": None})
    assert ["emails: Lambda runs it, and task 'shop.welcome' has no time_limit"] == said(
        Cloud.AWS, PLANS[Cloud.AWS], [endless]
    )


def test_too_long_for_lambda():
    """What no function has the time for is named, and no visibility is asked for that couldn't help."""
    long = Needs(queue="emails", lease=timedelta(minutes=2), deliveries=20, limits={"x": timedelta(hours=1)})
    assert ["emails: Lambda runs it, and a time_limit of 1:00:00 is more than a function has, 0:30:00"] == said(
        Cloud.AWS, PLANS[Cloud.AWS], [long]
    )


@pytest.mark.parametrize("function_name", ["shop", "arn:aws:lambda:eu-west-1:123456789012:function:shop:live"])
def test_function_of_the_plan(function_name):
    """The function that the mapping names is held against the time limits and the lease, if the plan has it."""
    resources = changed(Cloud.AWS, 4, function_name=function_name)
    function = {"address": "aws_lambda_function.worker", "type": "aws_lambda_function"}
    resources.append(function | {"values": {"function_name": "shop", "timeout": 60}})
    assert [] == said(Cloud.AWS, resources)
    resources[-1] = function | {"values": {"function_name": "shop", "timeout": 30}}
    assert ["emails: its function's timeout is 30, and 60 is the least that lets its tasks end"] == said(
        Cloud.AWS, resources
    )
    resources[-1] = function | {"values": {"function_name": "shop", "timeout": 100}}
    assert ["emails: visibility_timeout_seconds is 360, and six times the function's time-out are 600"] == said(
        Cloud.AWS, resources
    )
    resources[-1] = function | {"values": {"function_name": "other", "timeout": 100}}
    assert [] == said(Cloud.AWS, resources)


def test_mapping_by_arn():
    """A mapping that has no key of the module's is found by the queue's ARN, where the plan knows it."""
    resources = changed(Cloud.AWS, 4, function_response_types=None, event_source_arn=ARN + "emails")
    resources[4]["index"] = None
    assert "doesn't have ReportBatchItemFailures" in said(Cloud.AWS, resources)[0]


def test_mapping_of_another_call():
    """Where the module is called twice, a queue's mapping is that of its own call."""
    resources = changed(Cloud.AWS, 4, function_response_types=None)
    resources[4]["address"] = 'module.other.aws_lambda_event_source_mapping.this["emails"]'
    assert [] == said(Cloud.AWS, resources)


def _beside(**values: object) -> list[dict[str, object]]:
    return [
        *changed(Cloud.AWS, 0, redrive_policy=None),
        {"address": "aws_sqs_queue_redrive_policy.x", "type": "aws_sqs_queue_redrive_policy", "values": values},
    ]


URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/"


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"queue_url": URL + "emails", "redrive_policy": REDRIVE}, "emails: maxReceiveCount is 5"),
        ({"queue_url": URL + "other", "redrive_policy": REDRIVE}, "emails: it has no redrive_policy"),
    ],
)
def test_redrive_beside(values, found):
    """A redrive policy may be a resource of its own, as other modules have it."""
    assert said(Cloud.AWS, _beside(**values))[0].startswith(found)


@pytest.mark.parametrize("values", [{}, {"queue_url": URL + "emails"}])
def test_redrive_unknown_beside(values):
    """One that the plan can't tell yet is no fault, and is told."""
    resources = _beside(**values)
    assert [] == said(Cloud.AWS, resources)
    assert ["emails"] == unknown(plan(resources), Cloud.AWS, [EMAILS])


def test_redrive_unknown():
    """The same where it is on the queue and names an ARN that the service has yet to give."""
    resources = changed(Cloud.AWS, 0, redrive_policy=None)
    change = {"address": "aws_sqs_queue.emails", "change": {"after_unknown": {"redrive_policy": True, "id": True}}}
    planned = Planned({"planned_values": {"root_module": {"resources": resources}}, "resource_changes": [change]})
    assert [] == list(faults(planned, Cloud.AWS, [EMAILS]))
    assert ["emails"] == unknown(planned, Cloud.AWS, [EMAILS])
    assert [] == unknown(plan(PLANS[Cloud.AZURE]), Cloud.AZURE, [EMAILS])


@pytest.mark.parametrize(("timeout", "shown"), [("60s", "60s"), (None, "300s")])
def test_cloud_run(timeout, shown):
    """The service that the queues push to has to wait as long as a push may take."""
    slow = Needs(queue="emails", lease=timedelta(minutes=2), deliveries=20, limits={"x": timedelta(minutes=10)})
    invoker = {"address": "google_cloud_run_v2_service_iam_member.invoker", "values": {"name": "shop"}}
    service = {"address": "google_cloud_run_v2_service.w", "type": "google_cloud_run_v2_service"}
    resources = [
        *PLANS[Cloud.GOOGLE],
        invoker | {"type": "google_cloud_run_v2_service_iam_member"},
        service | {"values": {"name": "shop", "template": [{"timeout": timeout}]}},
    ]
    found = said(Cloud.GOOGLE, resources, [slow])
    assert len(found) == 1
    assert found[0].startswith(f"emails: its Cloud Run service's timeout is {shown}, and a push may take 6")
    resources[-1] = service | {"values": {"name": "shop", "template": [{"timeout": "1800s"}]}}
    assert [] == said(Cloud.GOOGLE, resources, [slow])


def test_order_on_cloud_tasks():
    """A queue that the service can't have is a fault of the plan, too."""
    found = said(Cloud.GOOGLE, PLANS[Cloud.GOOGLE], [ORDERS])
    assert "orders.fifo: queue 'orders.fifo' keeps an order, which Cloud Tasks doesn't" in found


def test_prefix():
    """Queues are looked for with the prefix; those of no task are told, dead-letter queues aside."""
    resources = [service_bus("prod-emails", sessions=False), service_bus("prod-old", sessions=False)]
    assert [] == list(faults(plan(resources), Cloud.AZURE, [EMAILS], "prod-"))
    assert ["prod-old"] == undeclared(plan(resources), Cloud.AZURE, [EMAILS], "prod-")
    assert [] == undeclared(plan(PLANS[Cloud.GOOGLE]), Cloud.GOOGLE, [EMAILS])


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"planned_values": {}},
        {"planned_values": {"root_module": {"resources": [{"type": 1}]}}},
        {"planned_values": {"root_module": {"resources": ["x"]}}},
        {"planned_values": {"root_module": {"child_modules": ["x"]}}},
    ],
)
def test_no_plan(document):
    """What isn't a plan is refused as such."""
    with pytest.raises(ConfigurationError, match="this is no plan's JSON"):
        Planned(document)
