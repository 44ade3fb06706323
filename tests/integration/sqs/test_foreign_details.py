"""On SQS: whatever strangers write, each message runs, is retried within bounds, or is dead-lettered."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

import cloudq
from tests.chaos.scale import sized
from tests.integration.foreign_details import messages, work_off
from tests.integration.sqs.conftest import Place


@pytest.mark.slow
@pytest.mark.timeout(sized(120, 1_800))
@settings(max_examples=sized(1, 100), deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(given=messages)
def test_on_sqs(given: list[tuple[dict[str, object], str, str | None]], place: Place, queue: str) -> None:
    """By the real client."""
    app = cloudq.App(place.url)
    work_off(app.driver(), given, queue)  # type: ignore[arg-type]  # SQS is polled
    app.close()
