"""Outcomes are values: compared by what they say, and never changed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.claiming import AlreadyDone
from cloudq.core.ending import Ending
from cloudq.core.failure import Failure
from cloudq.core.outcome import (
    ACKED,
    CANCELLED,
    DUPLICATE,
    Acked,
    DeadLettered,
    Expired,
    Outcome,
    Retried,
    Snoozed,
    ending_of,
)


def test_all_acks_are_alike() -> None:
    """One object serves for all of them."""
    assert Acked() == ACKED


def test_a_retry_uses_up_an_attempt_unless_it_says_otherwise() -> None:
    """Waiting is the exception that says so."""
    retried = Retried(delay=timedelta(seconds=1), reason="it broke")
    assert (True, None) == (retried.counted, retried.failure)
    assert retried != Retried(delay=timedelta(seconds=1), reason="it broke", counted=False)


@pytest.mark.parametrize("outcome", [ACKED, DeadLettered(reason="x", failure=Failure(reason="x")), Expired(reason="x")])
def test_an_outcome_is_never_changed(outcome: object) -> None:
    """Middleware returns another one instead."""
    with pytest.raises(AttributeError):
        outcome.reason = "y"  # type: ignore[attr-defined]  # that's the point


@pytest.mark.parametrize(
    ("outcome", "ending"),
    [
        (ACKED, Ending.SUCCEEDED),
        (DUPLICATE, Ending.DUPLICATE),
        (Expired(reason="expired 4 min ago"), Ending.EXPIRED),
        (CANCELLED, Ending.CANCELLED),
        (AlreadyDone(result=b"7"), Ending.DUPLICATE),
        (Retried(delay=timedelta(0), reason="it broke"), Ending.RETRIED),
        (Retried(delay=timedelta(0), reason="early", counted=False), Ending.SNOOZED),
        (Snoozed(delay=timedelta(0), reason="early"), Ending.SNOOZED),
        (DeadLettered(reason="x", failure=Failure(reason="x")), Ending.DEAD_LETTERED),
    ],
    ids=str,
)
def test_each_outcome_has_its_word(outcome: Outcome, ending: Ending) -> None:
    """An acknowledged message says whether its task ran; what uses no attempt only waits."""
    assert ending is ending_of(outcome)
