"""What is remembered of deliveries that come again, and what becomes of them."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.core.failure import Failure
from cloudq.core.outcome import ACKED, DeadLettered
from cloudq.running.runs import Runs
from cloudq.testing.clock import FakeClock
from cloudq.worker.verdicts import Verdicts
from tests.unit.worker.fakes import delivery

DEAD = DeadLettered(reason="gave up", failure=Failure(reason="gave up"))


def test_what_had_its_last_run_is_dead_lettered_and_what_is_done_is_acknowledged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """By what the settler noted, and for as long as the leases of the queue say; done is done, whatever came before."""
    clock = FakeClock()
    runs = Runs(clock)
    verdicts = Verdicts(runs, {"q": timedelta(seconds=120)})
    first = delivery(clock, deliveries=1)
    again = replace(first, deliveries=2)
    with caplog.at_level(logging.INFO, logger="cloudq.worker"):
        verdicts.note_dead(first, DEAD)
        assert DEAD == runs.verdict(again)
        verdicts.tell(again, DEAD)
        verdicts.note_done(first)
        assert runs.has_done(again)
        verdicts.tell(again, ACKED)
    assert ["had its last run and is to be dead-lettered", "was done by an earlier run"] == [
        said.partition(" ")[2] for said in caplog.messages
    ]
