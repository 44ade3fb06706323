"""How an invocation's time is shared out."""

from __future__ import annotations

from datetime import timedelta

from cloudq.aws_lambda.budget import Budget

SECOND = timedelta(seconds=1)
START = timedelta(hours=7)


def budget(seconds: float) -> Budget:
    return Budget(began=START, deadline=START + seconds * SECOND)


def test_three_seconds_are_kept_for_what_comes_after() -> None:
    """Tasks are stopped three seconds before the end; then come the failures, and last the answer."""
    made = budget(60)
    assert START + 57 * SECOND == made.end
    assert made.end < made.unwound < made.answer_by < made.deadline


def test_of_a_short_time_a_quarter_is_kept() -> None:
    """A function with the default timeout of three seconds has most of it for its tasks."""
    assert START + 2.25 * SECOND == budget(3).end


def test_a_time_limit_has_to_fit() -> None:
    """A task starts if its whole time limit is left before tasks are stopped."""
    made = budget(60)
    assert made.allows(20 * SECOND, START + 37 * SECOND)
    assert not made.allows(20 * SECOND, START + 38 * SECOND)


def test_without_a_time_limit_a_tenth_has_to_be_left() -> None:
    """What declares no limit isn't started in the last moment."""
    made = budget(60)
    assert made.allows(None, START + 51 * SECOND)
    assert not made.allows(None, START + 52 * SECOND)


def test_a_limit_beyond_the_functions_time_starts_first_or_never() -> None:
    """It would wait for ever otherwise; it is cut off at the end."""
    made = budget(60)
    assert made.allows(timedelta(hours=1), START + SECOND)
    assert not made.allows(timedelta(hours=1), START + 6 * SECOND)


def test_nothing_starts_without_time() -> None:
    """An invocation whose time is over starts nothing that takes time."""
    assert not budget(10).allows(None, START + 10 * SECOND)
