"""What AWS runs beside a queue, and what it may not be asked. With a service: tests/integration/doctor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from msgspec.structs import replace

from cloudq.cli.doctor.fault import Finding, Unchecked
from cloudq.cli.doctor.looks_at_aws import Amazon
from cloudq.cli.queue_needs import Cloud
from cloudq.testing.clock import FakeClock
from tests.unit.cli.doctor.test_queue_law import NEEDS, SQS, looked

ARN = "arn:aws:sqs:eu-west-1:1:p-mail"
LOOKED = looked(
    Cloud.AWS,
    settings=replace(SQS, resource=ARN, lease=timedelta(minutes=6)),
    needs=replace(NEEDS, limits={"shop.welcome": timedelta(seconds=57)}),
)


class Service:
    """Lambda and CloudWatch in one: two pages of mappings, and what they are told to say."""

    def __init__(self) -> None:
        self.mappings: list[dict[str, Any]] = []
        self.timeout = 60
        self.points: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.closed = 0

    def list_event_source_mappings(self, *, EventSourceArn: str, Marker: str = "0") -> dict[str, Any]:  # noqa: N803
        assert ARN == EventSourceArn
        self._maybe()
        place = int(Marker)
        more = {"NextMarker": str(place + 1)} if place + 1 < len(self.mappings) else {}
        return {"EventSourceMappings": self.mappings[place : place + 1], **more}

    def get_function_configuration(self, *, FunctionName: str) -> dict[str, Any]:  # noqa: N803
        return {"FunctionName": FunctionName.rpartition(":")[2], "Timeout": self.timeout}

    def get_metric_statistics(self, **asked: Any) -> dict[str, Any]:
        assert [{"Name": "QueueName", "Value": "p-mail"}] == asked["Dimensions"]
        assert timedelta(minutes=16) == asked["EndTime"] - asked["StartTime"]
        self._maybe()
        return {"Datapoints": self.points}

    def close(self) -> None:
        self.closed += 1

    def _maybe(self) -> None:
        if self.error is not None:
            raise self.error


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def amazon(service, monkeypatch):
    driver = SimpleNamespace(client=SimpleNamespace(meta=SimpleNamespace()))
    made = Amazon(SimpleNamespace(driver=lambda: driver), FakeClock())  # type: ignore[arg-type]  # all that it asks of it
    monkeypatch.setattr(made, "_client", lambda name: made._clients.setdefault(name, service))
    return made


def mapping(**changes: Any) -> dict[str, Any]:
    plain = {"UUID": "u-1", "FunctionArn": "arn:aws:lambda:eu-west-1:1:function:shop", "State": "Enabled"}
    return plain | {"FunctionResponseTypes": ["ReportBatchItemFailures"], **changes}


def test_every_mapping_is_judged(amazon, service):
    """Of all pages; one that is in order has no fault."""
    assert [] == list(amazon.findings(LOOKED))
    service.mappings = [mapping(), mapping(State="Disabling"), mapping(FunctionResponseTypes=None)]
    ids = [one.fault.id for one in amazon.findings(LOOKED) if isinstance(one, Finding)]
    assert ["queue-stopped", "lambda-whole-batches"] == ids
    service.timeout = 61
    assert 3 == sum("lambda-visibility" == one.fault.id for one in amazon.findings(LOOKED))


def test_the_latest_age_counts(amazon, service):
    """CloudWatch gives its points in any order; without any nothing is known."""
    assert amazon.oldest_age(LOOKED) is None
    at = datetime(2026, 11, 29, 12, tzinfo=UTC)
    service.points = [{"Timestamp": at, "Maximum": 60.0}, {"Timestamp": at - timedelta(minutes=1), "Maximum": 90.0}]
    assert timedelta(minutes=1) == amazon.oldest_age(LOOKED)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "x"), "it takes the permission "),
        (EndpointConnectionError(endpoint_url="http://x"), "EndpointConnectionError: "),
    ],
)
def test_what_may_not_be_asked_is_said(amazon, service, error, why):
    """With the permission that it takes, or what went wrong."""
    service.error = error
    (unchecked,) = amazon.findings(LOOKED)
    age = amazon.oldest_age(LOOKED)
    assert isinstance(age, Unchecked)
    assert isinstance(unchecked, Unchecked)
    assert unchecked.why.startswith(why)
    assert age.why.startswith(why)
    amazon.close()
    assert 2 == service.closed


def test_a_queue_without_a_name_of_its_own_is_not_asked_for(amazon):
    """A stand-in may tell no ARN."""
    assert [] == list(amazon.findings(looked(Cloud.AWS)))
