"""Real tracers around a real SDK: what they add to each message costs none of them."""

from __future__ import annotations

import json

import pytest

from tests.compatibility.environment import run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("tracer", ["ddtrace", "otel-boto3sqs"])
def test_full_batches_under_a_tracer_are_all_stored(place, tracer):
    """`send_many`, sends that share a call, copies and a redrive, each of batches that the tracer makes too large."""
    ran = run("full_batches.py", tracer, place.client.meta.endpoint_url, place.prefix)
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert said.pop("refused") >= 3, "the batches weren't full"
    assert {
        "sent": 30,
        "shared": 10,
        "dead": 20,
        "redriven": 20,
        "retries": 20,
        "errors": [],
        "left": [80, 0],
    } == said
