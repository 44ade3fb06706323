"""The same on LocalStack, the second stand-in: what cloudq makes has no fault, and what moto doesn't keep is found."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cloudq import App
from cloudq.cli.doctor.examination import Report, examine
from tests.integration.sqs.conftest import Place, place, queue  # noqa: F401 - its fixtures

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

DENIED = '{"redrivePermission":"denyAll"}'


@pytest.fixture
def app(place: Place, queue: str) -> Iterator[App]:  # noqa: F811 - the fixtures
    """On the queue `default`, as `cloudq queues create` makes it."""
    app = App(place.url)
    app.task("noop", queue=queue)(lambda: None)
    yield app
    app.close()


def report(app: App) -> Report:
    return examine(app, ["default"], installed=lambda _: None)


def test_what_cloudq_makes_has_no_fault(app):
    """Lambda and CloudWatch aren't there: that they weren't looked at is said."""
    told = report(app)
    assert [] == [finding.what for finding in told.findings]
    assert {"the Lambda mappings of queue 'default'", "the age of the oldest message of queue 'default'"} == {
        unchecked.what for unchecked in told.unchecked
    }


@pytest.mark.parametrize(
    ("of", "attributes", "fault"),
    [
        ("default-dlq", {"RedriveAllowPolicy": DENIED}, "dead-letters-refused"),
        ("default-dlq", {"MessageRetentionPeriod": "345600"}, "dead-letter-retention"),
        ("default", {"MaximumMessageSize": "262144"}, "messages-small"),
        ("default", {"SqsManagedSseEnabled": "false"}, "not-encrypted"),
    ],
)
def test_a_planted_fault_is_found(app, place, of, attributes, fault):  # noqa: F811 - the fixture
    """That one, and no other."""
    place.client.set_queue_attributes(QueueUrl=place.url_of(of), Attributes=attributes)
    assert [fault] == [finding.fault.id for finding in report(app).findings]


def test_a_policy_that_names_another_queue(app, place):  # noqa: F811 - the fixture
    """It lets in that one's dead letters only."""
    arn = place.client.get_queue_attributes(QueueUrl=place.url_of("default"), AttributeNames=["QueueArn"])
    own = arn["Attributes"]["QueueArn"]
    for source, found in ((own, []), (f"{own}-other", ["dead-letters-refused"])):
        policy = json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [source]})
        place.client.set_queue_attributes(
            QueueUrl=place.url_of("default-dlq"), Attributes={"RedriveAllowPolicy": policy}
        )
        assert found == [finding.fault.id for finding in report(app).findings]
