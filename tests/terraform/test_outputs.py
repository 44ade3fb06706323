"""What the modules put out is what cloudq takes, as it is."""

from __future__ import annotations

import pytest

from cloudq.core.clock import SystemClock
from cloudq.core.url import parse_url
from cloudq.drivers.cloud_tasks.url import open_url as open_cloud_tasks
from cloudq.drivers.service_bus.url import open_url as open_service_bus
from cloudq.drivers.sqs.url import open_url as open_sqs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OPENERS = {"sqs": open_sqs, "cloudtasks": open_cloud_tasks, "servicebus": open_service_bus}
ROLE = "arn:aws:iam::123456789012:role/shop-scheduler"
ACCOUNT = "cloudq-invoker@my-project.iam.gserviceaccount.com"
# What each example's URL is for: host, path, parameters.
EXPECTED = {
    ("aws-sqs", "minimal"): ("eu-west-1", "", {"account": "123456789012"}),
    ("aws-sqs", "complete"): (
        "eu-west-1",
        "",
        {"account": "123456789012", "prefix": "prod-", "scheduler_role": ROLE},
    ),
    ("google-cloud-tasks", "minimal"): (
        "my-project",
        "europe-west1",
        {"target": "https://worker.example/", "service_account": ACCOUNT},
    ),
    ("google-cloud-tasks", "complete"): (
        "my-project",
        "europe-west1",
        {
            "target": "https://shop-worker-abc123-ew.a.run.app/tasks/?from=queue",
            "service_account": ACCOUNT,
            "audience": "https://shop-worker-abc123-ew.a.run.app/",
            "prefix": "prod-",
        },
    ),
    ("azure-service-bus", "minimal"): ("shop-queues.servicebus.windows.net", "", {"lock": "300"}),
    ("azure-service-bus", "complete"): (
        "shop-queues.servicebus.windows.net",
        "",
        {"prefix": "prod-", "dedup_window": "600", "max_message": "1048576"},
    ),
}


@pytest.mark.parametrize(("module", "example"), EXPECTED)
def test_url(workshop, monkeypatch, module, example):
    """An example's URL opens its driver verbatim, and says the place and the parameters that the example set."""
    place = workshop.copy(module) / "examples" / example
    workshop.init(place)
    outputs = workshop.plan(place)["planned_values"]["outputs"]
    url = outputs["cloudq_url"]["value"] if example == "minimal" else outputs["environment"]["value"]["CLOUDQ_URL"]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    parsed = parse_url(url)
    OPENERS[parsed.scheme](parsed, SystemClock()).close()
    host, path, parameters = EXPECTED[module, example]
    assert (parsed.host, parsed.path, parsed.parameters) == (host, path, parameters)
