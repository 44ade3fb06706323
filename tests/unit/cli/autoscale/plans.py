"""Plans for tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cloudq.cli.autoscale.plan import Plan
from cloudq.core.url import parse_url

SQS = "sqs://eu-west-1?prefix=prod-&account=123456789012"
SERVICE_BUS = "servicebus://shop.servicebus.windows.net?prefix=prod-"
CLOUD_TASKS = "cloudtasks://my-project/europe-west1?target=https://worker.example/&prefix=prod-"


def plan(url: str = SQS, **changes: Any) -> Plan:
    values: dict[str, Any] = {
        "queue": "emails",
        "image": "registry.example/shop:1",
        "name": "worker-emails",
        "time_limit": timedelta(minutes=2),
        "grace": timedelta(seconds=10),
        "least": 0,
        "most": 20,
        "per_worker": 20,
        "concurrency": 10,
    }
    return Plan(url=url, backend=parse_url(url), **{**values, **changes})
