"""What goes to a driver and comes back, as values: defaults, and what a log may show of them."""

from __future__ import annotations

from datetime import timedelta

from cloudq.core.failure import Failure
from cloudq.core.steps import Ack, ExtendResult, NativeDeadLetter, Outgoing, Release, SendResult, SettleResult


def test_a_log_shows_no_body() -> None:
    """It may hold what no log should."""
    assert "Outgoing(id='1', queue='q', bytes=6)" == repr(Outgoing(id="1", queue="q", body=b"secret"))


def test_what_is_sent_asks_for_nothing_special_by_default() -> None:
    """At once, under no native name, in no order, and not to be cancelled."""
    item = Outgoing(id="1", queue="q", body=b"")
    assert (timedelta(0), None, None, None, False) == (
        item.delay,
        item.native_id,
        item.ordering_key,
        item.fairness_key,
        item.cancellable,
    )


def test_results_without_an_error_are_successes() -> None:
    """What else the backend doesn't say is unknown."""
    assert (None, None, None) == (SendResult().error, SettleResult().error, ExtendResult().error)
    assert (None, None, None) == (SendResult().duplicate, SendResult().original_id, SendResult().receipt)


def test_the_last_steps_are_told_apart_by_their_kind() -> None:
    """An ack is no release without delay."""
    steps = [Ack(), Release(), Release(counted=False), NativeDeadLetter(failure=Failure(reason="x"))]
    assert 4 == len({repr(step) for step in steps})
    assert Ack() != Release()
