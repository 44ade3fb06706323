"""A line every so often that sums up what a worker has done."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest

from cloudq.app import App
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.ending import Ending
from cloudq.drivers.memory import MemoryDriver
from cloudq.running import log_summary
from cloudq.running.log_summary import MOST_SAMPLES, Summary, log_period, summarised
from cloudq.testing import FakeClock

MINUTE = timedelta(minutes=1)
ONE = Delivery(
    id="1",
    queue="q",
    body=b"",
    message=None,
    undecodable="no",
    attempt=1,
    deliveries=1,
    lease=Lease(queue="q", receipt=None, ends=MINUTE, expires_at=datetime(2026, 1, 2, tzinfo=UTC)),
)


def test_a_period_is_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    """Rate, outcomes, the middle and the slow end of the runs, the oldest, and what still runs; for programs too."""
    clock = FakeClock()
    summary = Summary(clock)
    for n in range(100):
        summary.started(ONE, timedelta(seconds=n))
        summary.ended(ONE, Ending.RETRIED if n < 10 else Ending.SUCCEEDED, n / 1000)
    summary.started(ONE, None)
    summary.started(ONE, None)
    summary.ended(ONE, Ending.RELEASED, None)
    summary.unrun(ONE, Ending.DUPLICATE)
    clock.advance(MINUTE)
    with caplog.at_level(logging.INFO, "cloudq.worker"):
        log_period(summary.take())
    assert (
        "60 s: 90 succeeded, 10 retried, 1 released, 1 duplicate (1.7/s); "
        "p50 0.050 s, p95 0.095 s, oldest 99.000 s; 1 running"
    ) == caplog.messages[0]
    [line] = caplog.records
    assert {"succeeded": 90, "retried": 10, "released": 1, "duplicate": 1} == line.cloudq_endings  # type: ignore[attr-defined]
    assert (1.7, 0.05, 0.095, 99.0) == (  # type: ignore[comparison-overlap]
        line.cloudq_rate,  # type: ignore[attr-defined]
        line.cloudq_p50_seconds,  # type: ignore[attr-defined]
        line.cloudq_p95_seconds,  # type: ignore[attr-defined]
        line.cloudq_oldest_seconds,  # type: ignore[attr-defined]
    )


def test_each_period_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    """Of one in which nothing happened that is said."""
    clock = FakeClock()
    summary = Summary(clock)
    summary.started(ONE, MINUTE)
    summary.ended(ONE, Ending.SUCCEEDED, 0.1)
    clock.advance(MINUTE)
    assert 1 == summary.take().endings.total()
    clock.advance(MINUTE)
    with caplog.at_level(logging.INFO, "cloudq.worker"):
        log_period(summary.take())
    assert ["60 s: nothing ended (0.0/s); p50 -, p95 -, oldest -; 0 running"] == caplog.messages


def test_of_very_many_runs_a_sample_is_kept() -> None:
    """So that a busy worker's memory doesn't grow with its rate; all of them count."""
    summary = Summary(FakeClock())
    for _ in range(3 * MOST_SAMPLES):
        summary.started(ONE, None)
        summary.ended(ONE, Ending.SUCCEEDED, 1.0)
    period = summary.take()
    assert (MOST_SAMPLES, 3 * MOST_SAMPLES) == (len(period.runs), period.endings.total())


def test_a_line_is_written_each_time_and_at_the_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what the edges do that are made meanwhile."""
    app, clock = App(), FakeClock()
    planned: list[object] = []

    class Jobs:
        def __init__(self, *_: object, **__: object) -> None: ...

        def submit(self, job: object, *, delay: timedelta) -> None:
            assert MINUTE == delay
            planned.append(job)

        def close(self) -> None:
            planned.clear()

    monkeypatch.setattr(log_summary, "Threads", Jobs)
    with app.using(MemoryDriver(clock=clock), clock=clock), caplog.at_level(logging.INFO, "cloudq.worker"):
        with summarised(app, MINUTE):
            observer = app.runtime.observer
            assert observer is not None
            for _ in range(2):
                observer.started(ONE, None)
                observer.ended(ONE, Ending.SUCCEEDED, 0.1)
                clock.advance(MINUTE)
                planned.pop()()  # type: ignore[operator]  # a job
        assert ["60 s: 1 succeeded (0", "60 s: 1 succeeded (0", "0 s: nothing ended ("] == [
            line[:20] for line in caplog.messages
        ]


def test_without_it_nothing_is_counted() -> None:
    """No observer, no thread."""
    app = App("memory://")
    with summarised(app, None):
        assert app.runtime.observer is None
