"""Schedules on LocalStack, which keeps them and doesn't fire them: that the service takes what the driver asks for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from cloudq import App
from cloudq.drivers.sqs.client import open_client
from tests.integration.sqs.conftest import REGION, Place

pytestmark = pytest.mark.slow

ROLE = "arn:aws:iam::000000000000:role/cloudq"


def test_a_long_delay_is_a_schedule(place: Place, queue: str, localstack: str) -> None:
    """By the URL alone; the message isn't in the queue; sent again under its key, it is a duplicate."""
    app = App(f"{place.url}&scheduler_role={quote(ROLE, safe='')}")

    @app.task("later", idempotency_key="only-{n}")
    def later(n: int) -> None: ...

    due = datetime.now(UTC) + timedelta(days=3)
    assert [None, True] == [later.options(at=due).send(n=1).duplicate for _ in range(2)]
    app.close()
    assert (0, 0) == place.counts(queue)
    client = open_client(REGION, localstack, "scheduler")
    (name,) = [one["Name"] for one in client.list_schedules()["Schedules"]]
    schedule = client.get_schedule(Name=name)
    client.delete_schedule(Name=name)
    client.close()
    fires = datetime.strptime(schedule["ScheduleExpression"], "at(%Y-%m-%dT%H:%M:%S)").replace(tzinfo=UTC)
    assert timedelta(0) <= fires - due <= timedelta(minutes=1)  # in whole seconds, and never too early
    assert ("UTC", ROLE) == (schedule["ScheduleExpressionTimezone"], schedule["Target"]["RoleArn"])
    assert schedule["Target"]["DeadLetterConfig"]["Arn"].endswith(f":{place.prefix}{queue}-dlq")
    call = json.loads(schedule["Target"]["Input"])
    assert ({"n": 1}, place.url_of(queue)) == (json.loads(call["MessageBody"])["data"], call["QueueUrl"])
