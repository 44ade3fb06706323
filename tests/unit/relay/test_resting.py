"""Queues that are down rest, longer and longer, until one message comes through."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.relay.resting import LONGEST, Resting
from cloudq.testing.clock import FakeClock


def test_rests_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    """It rests for a while, is tried again then, and each change is said once."""
    caplog.set_level("INFO")
    clock = FakeClock()
    resting = Resting(clock)
    for _ in range(3):
        resting.begin("emails", "away")
        assert ["emails"] == resting.queues()
        clock.advance(LONGEST)
        assert [] == resting.queues()
        assert {"emails": "away"} == resting.reasons()
    resting.end("emails")
    resting.end("reports")

    assert {} == resting.reasons()
    assert [
        "nothing can be published to queue 'emails', which is tried again: away",
        "queue 'emails' takes messages again",
    ] == [record.getMessage() for record in caplog.records]


def test_first_rest_is_short() -> None:
    """The first rest is a second at most, whatever the queue rested for before it took messages again."""
    clock = FakeClock()
    resting = Resting(clock)
    for _ in range(2):
        for _ in range(9):
            resting.begin("emails", "away")
        resting.end("emails")
        resting.begin("emails", "away")
        clock.advance(timedelta(seconds=1))
        assert [] == resting.queues()
        resting.end("emails")
