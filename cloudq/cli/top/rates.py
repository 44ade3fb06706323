"""Rates: what two samples, one after the other, say of what happened in between."""

from __future__ import annotations

from typing import Final

from cloudq.cli.top.sample import Sample
from cloudq.cli.top.workers import WorkerNow

# A worker's counts of ends; see `cloudq.core.ending`.
ENDED: Final = ("succeeded", "retried", "snoozed", "dead_lettered", "expired", "duplicate", "cancelled")
FAILED: Final = ("retried", "dead_lettered")


class Rates:
    """Of one sample, since the one before it; all in things a second, and `None` where nothing can be said.

    Args:
        before: The earlier sample; `None`: there was none.
        now: The later one.
    """

    def __init__(self, before: Sample | None, now: Sample) -> None:
        self._seconds = 0.0 if before is None else (now.at - before.at).total_seconds()
        self._backlogs_before = {} if before is None else _backlogs(before)
        self._backlogs = _backlogs(now)
        self._workers_before = {} if before is None else {one.address: one for one in before.workers}
        self._workers = {one.address: one for one in now.workers}

    def growth(self, queue: str) -> float | None:
        """By how much a queue's backlog grows (more arrives than is done), or shrinks (less than zero)."""
        return self._rate(self._backlogs_before.get(queue), self._backlogs.get(queue))

    def ended(self, address: str) -> float | None:
        """How many deliveries a worker ends."""
        return self._worker(address, ENDED)

    def failed(self, address: str) -> float | None:
        """How many of them fail."""
        return self._worker(address, FAILED)

    def _worker(self, address: str, words: tuple[str, ...]) -> float | None:
        before, now = self._workers_before.get(address), self._workers.get(address)
        if before is None or now is None or before.unreachable or now.unreachable:
            return None
        rate = self._rate(_sum(before, words), _sum(now, words))
        return None if rate is None or rate < 0 else rate  # it was started anew, and counts from zero

    def _rate(self, before: int | None, now: int | None) -> float | None:
        return None if before is None or now is None or self._seconds <= 0 else (now - before) / self._seconds


def _backlogs(sample: Sample) -> dict[str, int]:
    """What is in each queue and isn't done, as far as its backend says."""
    backlogs = {}
    for queue in sample.queues:
        if queue.stats is not None:
            counts = (queue.stats.ready, queue.stats.delayed, queue.stats.in_flight)
            if any(count is not None for count in counts):
                backlogs[queue.name] = sum(count or 0 for count in counts)
    return backlogs


def _sum(worker: WorkerNow, words: tuple[str, ...]) -> int:
    return sum(worker.counts.get(word, 0) for word in words)
