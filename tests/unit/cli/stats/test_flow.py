"""How fast a queue fills and empties, and how many workers that asks for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.cli.counted import QueueCounts, WorkerCounts
from cloudq.cli.stats import flow as said
from cloudq.cli.stats.flow import Assumed, Look, flow
from cloudq.core.inspection import QueueStats


def worker(
    address: str = "w:1", *, left: int = 0, runs: int = 0, seconds: float = 0.0, slots: int = 10
) -> WorkerCounts:
    counts = QueueCounts(left=left, runs=runs, run_seconds=seconds)
    return WorkerCounts(address=address, slots=slots, queues={"q": counts}, serves=frozenset({"q"}))


def look(at: float, *workers: WorkerCounts, ready: int | None = 0, delayed: int = 0, in_flight: int = 0) -> Look:
    stats = QueueStats(ready=ready, delayed=None if ready is None else delayed, in_flight=in_flight)
    return Look(at=timedelta(seconds=at), stats=stats, workers=workers)


def test_what_arrives_is_what_left_and_the_growth() -> None:
    """Two workers end 30 messages in 10 s, while the queue grows by 20."""
    before = look(0, worker("a:1", left=100), worker("b:1"), ready=5, delayed=5)
    now = look(10, worker("a:1", left=120), worker("b:1", left=10), ready=20, delayed=5, in_flight=5)
    found = flow("q", before, now, Assumed())
    assert (2.0, 3.0, 5.0) == (found.growth_rate, found.service_rate, found.arrival_rate)
    assert (2, 12.5) == (found.workers, found.backlog_per_worker)
    assert {"recommended_workers": said.NO_TARGET} == found.unknown


def test_what_is_delayed_arrives_as_well() -> None:
    """It is in the queue, though no worker could take it yet."""
    found = flow("q", look(0, worker(), ready=5), look(10, worker(), ready=5, delayed=30), Assumed())
    assert (3.0, 5.0) == (found.arrival_rate, found.backlog_per_worker)


def test_less_than_nothing_does_not_arrive() -> None:
    """Counts of a hosted queue may lag behind what its workers say."""
    found = flow("q", look(0, worker(), ready=50), look(10, worker(left=10), ready=0), Assumed())
    assert (0.0, -5.0) == (found.arrival_rate, found.growth_rate)


def test_one_look_says_no_rate() -> None:
    """With what to do."""
    found = flow("q", None, look(0, worker(), ready=7), Assumed())
    assert {"arrival_rate", "service_rate", "growth_rate", "recommended_workers"} == set(found.unknown)
    assert said.ONE_LOOK == found.unknown["service_rate"] == found.unknown["arrival_rate"]
    assert 7.0 == found.backlog_per_worker


def test_without_a_worker_only_the_growth_is_known() -> None:
    """Nobody else counts what leaves the queue."""
    found = flow("q", look(0, ready=5), look(10, ready=15), Assumed())
    assert 1.0 == found.growth_rate
    assert said.NO_WORKER == found.unknown["arrival_rate"] == found.unknown["service_rate"]
    assert said.NO_WORKERS == found.unknown["workers"] == found.unknown["backlog_per_worker"]


def test_a_worker_that_says_nothing_makes_the_sum_unknown() -> None:
    """What it did is missing."""
    gone = WorkerCounts(address="b:1", unreachable="timed out")
    found = flow("q", look(0, worker("a:1"), worker("b:1")), look(10, worker("a:1", left=5), gone), Assumed())
    assert "the worker at b:1: timed out" == found.unknown["service_rate"]
    found = flow("q", look(0, worker("a:1"), gone), look(10, worker("a:1", left=5), worker("b:1")), Assumed())
    assert "the worker at b:1: timed out" == found.unknown["arrival_rate"]


def test_a_worker_that_was_started_anew_counts_from_zero() -> None:
    """So its difference says nothing."""
    found = flow("q", look(0, worker(left=100)), look(10, worker(left=3)), Assumed())
    assert said.RESTARTED == found.unknown["service_rate"]


def test_a_backend_that_does_not_count_leaves_what_workers_say() -> None:
    """Cloud Tasks, beyond 10,000 tasks."""
    found = flow("q", look(0, worker(), ready=None), look(10, worker(left=40), ready=None), Assumed())
    assert 4.0 == found.service_rate
    assert {said.NO_COUNTS} == {found.unknown[name] for name in ("arrival_rate", "growth_rate", "backlog_per_worker")}


TARGET = Assumed(target_age=timedelta(minutes=1))


@pytest.mark.parametrize(
    ("ready", "in_flight", "runs", "seconds", "recommended"),
    [
        (0, 0, 10, 20.0, 0),
        (1, 0, 10, 20.0, 1),
        (0, 1, 10, 20.0, 1),
        (300, 0, 10, 20.0, 1),  # 2 s each, ten at once: 300 a minute
        (301, 0, 10, 20.0, 2),
        (800, 100, 10, 20.0, 3),
    ],
)
def test_as_many_workers_as_end_the_backlog_in_the_target_age(
    ready: int, in_flight: int, runs: int, seconds: float, recommended: int
) -> None:
    """By how long a task takes and how many run at once, both of which the workers say."""
    now = look(0, worker(runs=runs, seconds=seconds), ready=ready, in_flight=in_flight)
    assert recommended == flow("q", None, now, TARGET).recommended_workers


def test_what_arrives_has_to_be_kept_up_with() -> None:
    """Even while there is no backlog yet: 12 a second at 2 s each are 24 at once."""
    before = look(0, worker(left=0, runs=0))
    now = look(10, worker(left=120, runs=120, seconds=240.0))
    assert 3 == flow("q", before, now, TARGET).recommended_workers


def test_the_latest_runs_count_where_there_are_some() -> None:
    """They were ten times as long as those before."""
    before = look(0, worker(runs=100, seconds=100.0), ready=120)
    now = look(10, worker(runs=110, seconds=200.0), ready=120)
    assert 2 == flow("q", before, now, TARGET).recommended_workers


def test_what_is_said_needs_no_worker() -> None:
    """Nor a second look."""
    assumed = Assumed(target_age=timedelta(minutes=1), task_time=timedelta(seconds=2), slots=10, workers=3)
    found = flow("q", None, look(0, ready=600), assumed)
    assert (2, 3, 200.0) == (found.recommended_workers, found.workers, found.backlog_per_worker)


def test_one_message_takes_a_worker() -> None:
    """However short its task and long the time for it."""
    assumed = Assumed(target_age=timedelta(days=3000), task_time=timedelta(milliseconds=1), slots=1000)
    assert 1 == flow("q", None, look(0, ready=1), assumed).recommended_workers


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (look(0, ready=5), said.NO_SLOTS),
        (look(0, worker(), ready=5), said.NO_TIME),
        (look(0, worker(), ready=None), said.NO_COUNTS),
    ],
)
def test_what_is_missing_for_a_recommendation_is_said(now: Look, why: str) -> None:
    """And nothing is made up."""
    found = flow("q", None, now, TARGET)
    assert (None, why) == (found.recommended_workers, found.unknown["recommended_workers"])


def test_no_worker_is_no_division() -> None:
    """There is a backlog, and nobody for it."""
    found = flow("q", None, look(0, ready=5), Assumed(workers=0))
    assert (None, "there is no worker") == (found.backlog_per_worker, found.unknown["backlog_per_worker"])
