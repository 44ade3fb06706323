"""A pace: at most so many a second, evenly, and no waiting without need."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.errors import OptionError
from cloudq.queues.letters.pace import Pace
from cloudq.testing import FakeClock

SECOND = timedelta(seconds=1)


class Stepping(FakeClock):
    """Time passes by waiting alone."""

    def wait(self, condition: object, timeout: timedelta | None) -> bool:
        del condition
        assert timeout is not None
        assert timeout <= SECOND, "a suspended machine's time is noticed within a second"
        self.advance(timeout)
        return False


@pytest.mark.parametrize("rate", [0.5, 3, 250])
def test_a_rate_is_kept(rate: float) -> None:
    """After n messages the clock shows no less than those before the last took, and no more than all of them."""
    clock = Stepping()
    pace = Pace(rate, clock)
    size = pace.within(SECOND, 100)
    sent = 0
    while sent < 10 * size:
        pace.wait()
        assert sent <= rate * clock.elapsed().total_seconds() + 1e-3
        pace.note(size)
        sent += size
    assert abs(clock.elapsed().total_seconds() - (sent - size) / rate) < 1e-3


def test_time_that_work_took_counts() -> None:
    """Who is slower than the rate never waits, and gets no burst for it afterwards."""
    clock = Stepping()
    pace = Pace(10, clock)
    for _ in range(3):
        pace.wait()
        pace.note(10)
        clock.advance(5 * SECOND)
    before = clock.elapsed()
    pace.wait()
    assert before == clock.elapsed()
    pace.note(10)
    pace.wait()
    assert clock.elapsed() - before == SECOND


def test_a_batch_is_what_a_second_brings() -> None:
    """At least one, at most what goes into a batch."""
    clock = FakeClock()
    sizes = [Pace(rate, clock).within(SECOND, 100) for rate in (None, 0.1, 7.9, 1000)]
    assert [100, 1, 7, 100] == sizes
    assert 60 == Pace(1, clock).within(timedelta(minutes=1), 1000)


def test_without_a_rate_nothing_waits() -> None:
    """The clock isn't asked."""
    pace = Pace(None, FakeClock())
    for _ in range(3):
        pace.wait()
        pace.note(1000)


@pytest.mark.parametrize(
    "rate", [0, -1, float("nan"), float("inf"), 1e-300, 1e-6, 1e300, pytest.param(10**400, id="huge")]
)
def test_what_is_no_rate_is_refused(rate: float) -> None:
    """It would never end, or mean nothing."""
    with pytest.raises(OptionError, match="can't be kept"):
        Pace(rate, FakeClock())


@pytest.mark.parametrize("rate", [1 / 86_400, 1_000_000])
def test_the_slowest_and_the_fastest_rate_can_be_kept(rate: float) -> None:
    """A thousand messages of either, too."""
    pace = Pace(rate, FakeClock())
    pace.note(1000)
    assert 1 <= pace.within(timedelta(minutes=1), 1000) <= 1000
