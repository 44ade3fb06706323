"""Back-off: random, growing, bounded, never zero."""

from __future__ import annotations

from datetime import timedelta

from cloudq.running.backoff import Backoff

FIRST = timedelta(seconds=1)
LONGEST = timedelta(seconds=30)


def test_waits_grow_up_to_a_bound() -> None:
    """The n-th wait is at most first x 2^(n-1) and 30 s, and never less than a tenth of the first."""
    for _ in range(50):
        backoff = Backoff(first=FIRST, longest=LONGEST)
        for number in range(8):
            assert FIRST / 10 <= backoff.next() <= min(FIRST * 2**number, LONGEST)


def test_waits_do_grow() -> None:
    """After many failures waits are long, and after a success short again."""
    backoff = Backoff(first=FIRST, longest=LONGEST)
    waits = [backoff.next() for _ in range(200)]
    assert max(waits) > timedelta(seconds=10)
    assert len(set(waits)) > 100
    backoff.reset()
    assert backoff.next() <= FIRST


def test_a_hundred_thousand_failures_are_no_problem() -> None:
    """However long a backend is down, the wait stays finite."""
    backoff = Backoff(first=FIRST, longest=LONGEST)
    backoff.tries = 100_000
    assert backoff.next() <= LONGEST
