"""By which of KEDA's scalers a queue is counted."""

from __future__ import annotations

import pytest

from cloudq.cli.autoscale.triggers import queue_url, trigger
from cloudq.errors import ConfigurationError
from tests.unit.cli.autoscale.keda_model import SCALERS, check_metadata
from tests.unit.cli.autoscale.plans import CLOUD_TASKS, SERVICE_BUS, SQS, plan


def test_sqs_is_counted_with_what_is_in_flight() -> None:
    """And without what is delayed: no worker could take it."""
    found = trigger(plan(SQS), account=None)
    assert ("aws-sqs-queue", "aws") == (found.type, found.identity)
    assert {
        "queueURL": "https://sqs.eu-west-1.amazonaws.com/123456789012/prod-emails",
        "awsRegion": "eu-west-1",
        "queueLength": "20",
        "scaleOnInFlight": "true",
        "scaleOnDelayed": "false",
    } == found.metadata


def test_service_bus_is_counted_by_its_active_messages() -> None:
    """A subscription by its topic."""
    found = trigger(plan(SERVICE_BUS), account=None, per_worker=1)
    assert ("azure-servicebus", "azure-workload") == (found.type, found.identity)
    assert {"namespace": "shop", "queueName": "prod-emails", "messageCount": "1"} == found.metadata
    url = "servicebus://shop.servicebus.usgovcloudapi.net"
    assert {
        "namespace": "shop",
        "cloud": "AzureUSGovernmentCloud",
        "topicName": "orders",
        "subscriptionName": "mail",
        "messageCount": "20",
    } == trigger(plan(url, queue="orders/Subscriptions/mail"), account=None).metadata


def test_cloud_tasks_is_counted_by_its_depth() -> None:
    """KEDA reads it from Cloud Monitoring."""
    found = trigger(plan(CLOUD_TASKS), account=None)
    assert ("gcp-cloudtasks", "gcp") == (found.type, found.identity)
    assert {"projectID": "my-project", "queueName": "prod-emails", "value": "20"} == found.metadata


@pytest.mark.parametrize("url", [SQS, SQS + "&endpoint_url=http://localhost:4566", SERVICE_BUS, CLOUD_TASKS])
def test_metadata_are_those_of_kedas_documents(url: str) -> None:
    """By a table with source and date; see `keda_model`."""
    found = trigger(plan(url), account=None)
    check_metadata(found.type, found.metadata)
    assert all(keys.source and keys.date for keys in SCALERS.values())


@pytest.mark.parametrize(
    ("url", "queue", "account", "expected"),
    [
        ("sqs://eu-west-1", "q", "999999999999", "https://sqs.eu-west-1.amazonaws.com/999999999999/q"),
        ("sqs://cn-north-1", "q", "999999999999", "https://sqs.cn-north-1.amazonaws.com.cn/999999999999/q"),
        (
            "sqs://eu-west-1",
            "https://sqs.eu-west-1.amazonaws.com/1/q",
            None,
            "https://sqs.eu-west-1.amazonaws.com/1/q",
        ),
    ],
)
def test_a_queue_of_sqs_has_a_url(url: str, queue: str, account: str | None, expected: str) -> None:
    """By region, account and name; or it is named by it."""
    assert expected == queue_url(plan(url, queue=queue), account)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqs://eu-west-1", "takes the AWS account"),
        ("sqs://", "names no region"),
        ("servicebus://localhost:5672", "no namespace that KEDA"),
        ("sqlite:///queue.db", "on one machine"),
    ],
)
def test_what_cannot_be_counted_is_refused(url: str, words: str) -> None:
    """With what to do."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        trigger(plan(url), account=None)
    assert caught.value.hint
