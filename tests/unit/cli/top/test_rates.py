"""What two samples say of what happened in between."""

from __future__ import annotations

from datetime import timedelta

from cloudq.cli.top.rates import Rates
from cloudq.cli.top.sample import QueueNow, Sample
from cloudq.cli.top.workers import WorkerNow
from cloudq.core.inspection import QueueStats
from cloudq.errors import BackendUnavailable


def sample(seconds: int, *, ready: int | None = None, counts: dict[str, int] | None = None) -> Sample:
    stats = QueueStats(ready=ready, in_flight=None if ready is None else 1)
    workers = [] if counts is None else [WorkerNow(address="w:1", ready=True, counts=counts)]
    return Sample(at=timedelta(seconds=seconds), queues=[QueueNow(name="q", stats=stats)], workers=workers)


def test_a_backlog_grows_and_shrinks() -> None:
    """By messages a second, whatever their place in the queue."""
    assert 5.0 == Rates(sample(10, ready=0), sample(12, ready=10)).growth("q")
    assert -2.5 == Rates(sample(10, ready=20), sample(14, ready=10)).growth("q")


def test_the_first_sample_says_nothing() -> None:
    """Nor does one taken at the same moment."""
    assert None is Rates(None, sample(10, ready=1)).growth("q")
    assert None is Rates(sample(10, ready=1), sample(10, ready=2)).growth("q")


def test_a_queue_whose_backend_doesnt_say_has_no_rate() -> None:
    """Neither one that counts nothing, nor one that couldn't be asked."""
    assert None is Rates(sample(10), sample(12)).growth("q")
    failed = Sample(at=timedelta(12), queues=[QueueNow(name="q", error=BackendUnavailable("no"))])
    assert None is Rates(sample(10, ready=1), failed).growth("q")
    assert None is Rates(failed, sample(10, ready=1)).growth("other")


def test_a_workers_ends_and_failures() -> None:
    """By its own counts; what has only started isn't there yet."""
    before, now = (
        {"started": 99, "succeeded": 5, "retried": 1},
        {"started": 200, "succeeded": 9, "retried": 2, "dead_lettered": 1, "duplicate": 4},
    )
    rates = Rates(sample(10, counts=before), sample(12, counts=now))
    assert (5.0, 1.0) == (rates.ended("w:1"), rates.failed("w:1"))


def test_a_worker_that_was_started_anew_has_no_rate() -> None:
    """Its counts began with zero in between."""
    assert None is Rates(sample(10, counts={"succeeded": 5}), sample(12, counts={"succeeded": 1})).ended("w:1")


def test_a_worker_that_wasnt_reached_has_no_rate() -> None:
    """In either of the samples."""
    gone = Sample(at=timedelta(seconds=12), queues=[], workers=[WorkerNow(address="w:1", unreachable="refused")])
    assert None is Rates(sample(10, counts={"succeeded": 5}), gone).ended("w:1")
    assert None is Rates(gone, sample(14, counts={"succeeded": 5})).ended("w:1")
