"""`summarised`: a log line at intervals that sums up what a worker has done since the last one."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from threading import Event
from typing import Final, NamedTuple

from cloudq.app import App
from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.ending import Ending
from cloudq.core.observing import Observer
from cloudq.core.safe_log import SafeLogger
from cloudq.core.threads import Threads
from cloudq.running.log_fields import extra_of

logger = SafeLogger("cloudq.worker")

MOST_SAMPLES: Final = 2_000
"""The most lengths of runs that are kept of a period: of more, as many, drawn at random."""

Later = Callable[..., object]


class Period(NamedTuple):
    """What happened between two lines.

    Attributes:
        seconds: How long it was.
        endings: How many deliveries ended in each way.
        runs: The lengths of runs in seconds, in ascending order, or a sample of them.
        oldest: The longest that a delivery had waited since it was due, when its task started; `None` if none started.
        running: How many run at its end.
    """

    seconds: float
    endings: Counter[Ending]
    runs: Sequence[float]
    oldest: timedelta | None
    running: int

    def percentile(self, share: float) -> float | None:
        """The length of a run that this share of the runs doesn't exceed; `None` without a run."""
        if not self.runs:
            return None
        return self.runs[min(len(self.runs) - 1, int(share * len(self.runs)))]


class Summary(Observer):
    """Counts what it observes, from one line to the next. Thread-safe.

    Args:
        clock: Where the time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        # All below is guarded by the lock.
        self._running = 0
        self._begin()

    def _begin(self) -> None:
        self._since = self._clock.elapsed()
        self._endings: Counter[Ending] = Counter()
        self._runs: list[float] = []
        self._seen = 0
        self._oldest: timedelta | None = None

    def started(self, delivery: Delivery, age: timedelta | None) -> None:
        """Notes how long it has waited."""
        del delivery
        with self._lock:
            self._running += 1
            if age is not None and (self._oldest is None or age > self._oldest):
                self._oldest = age

    def ended(self, delivery: Delivery, ending: Ending, seconds: float | None) -> None:
        """Notes how, and after how long."""
        del delivery
        with self._lock:
            self._running -= 1
            self._endings[ending] += 1
            if seconds is None:
                return
            self._seen += 1
            if len(self._runs) < MOST_SAMPLES:
                self._runs.append(seconds)
            elif (place := random.randrange(self._seen)) < MOST_SAMPLES:  # noqa: S311 - each is kept as likely as another
                self._runs[place] = seconds

    def unrun(self, delivery: Delivery, ending: Ending) -> None:
        """Notes how."""
        del delivery
        with self._lock:
            self._endings[ending] += 1

    def take(self) -> Period:
        """What happened since the last call."""
        with self._lock:
            now = self._clock.elapsed()
            seconds = (now - self._since).total_seconds()
            period = Period(seconds, self._endings, sorted(self._runs), self._oldest, self._running)
            self._begin()
        return period


class Lines:
    """Writes a line at intervals, until it ends.

    Args:
        summary: What has counted.
        every: How often.
        later: Has a job run in a thread once a `delay` is over.
    """

    def __init__(self, summary: Summary, every: timedelta, later: Later) -> None:
        self._summary = summary
        self._every = every
        self._later = later
        self._ended = Event()

    def begin(self) -> None:
        """Plans the first line."""
        self._later(self._write, delay=self._every)

    def end(self) -> None:
        """Writes the last line, of what is left of a period."""
        self._ended.set()
        log_period(self._summary.take())

    def _write(self) -> None:
        if not self._ended.is_set():
            log_period(self._summary.take())
            self._later(self._write, delay=self._every)


@contextmanager
def summarised(app: App, every: timedelta | None) -> Iterator[None]:
    """Sums up what the app's edges do that are made in the block; the last line is written at its end.

    Args:
        app: The app.
        every: How often a line is written; `None`: none is, and nothing is counted.
    """
    if every is None:
        yield
        return
    summary = Summary(app.clock)
    app.observe(summary)
    threads = Threads("cloudq-summary", 1, clock=app.clock)
    lines = Lines(summary, every, threads.submit)
    try:
        lines.begin()
        yield
    finally:
        lines.end()
        threads.close()


def log_period(period: Period) -> None:
    """Writes the line."""
    total = period.endings.total()
    rate = total / period.seconds if period.seconds else 0.0
    said = ", ".join(f"{count} {ending}" for ending, count in period.endings.most_common()) or "nothing ended"
    p50, p95 = period.percentile(0.5), period.percentile(0.95)
    oldest = None if period.oldest is None else period.oldest.total_seconds()
    logger.info(
        "%.0f s: %s (%.1f/s); p50 %s, p95 %s, oldest %s; %d running",
        period.seconds,
        said,
        rate,
        _shown(p50),
        _shown(p95),
        _shown(oldest),
        period.running,
        extra=extra_of(
            {
                "period_seconds": round(period.seconds, 3),
                "rate": round(rate, 3),
                "endings": {str(ending): count for ending, count in period.endings.items()},
                "p50_seconds": p50,
                "p95_seconds": p95,
                "oldest_seconds": oldest,
                "running": period.running,
            }
        ),
    )


def _shown(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.3f} s"
