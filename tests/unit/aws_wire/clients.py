"""Botocore clients of SQS as the driver opens them, and the lean one over each."""

from __future__ import annotations

from typing import Any

from cloudq.aws_wire.clients import prepare
from cloudq.drivers.sqs.client import open_client
from cloudq.drivers.sqs.lean import LeanClient

REGION = "eu-west-1"
QUEUE = "https://sqs.eu-west-1.amazonaws.com/000000000001/q"


def both(url: str | None, region: str = REGION) -> tuple[Any, LeanClient]:
    """A client of an endpoint, and the lean one over it."""
    client = prepare(open_client(region, url, allow_insecure=True))
    return client, LeanClient(client)
