"""The values of the driver contract: their defaults, and what a log may show of them."""

from __future__ import annotations

from datetime import timedelta

from cloudq.core.driver import Ack, Capabilities, Outgoing, QueueStats, Release, SendResult, is_push
from cloudq.drivers.memory import MemoryDriver
from tests.unit.push.fakes import PushedDriver


def test_capabilities_promise_nothing_by_default() -> None:
    """What a driver doesn't claim is emulated or refused; a lease can be extended and a settlement is a call."""
    assert Capabilities(
        max_batch=10, max_body=1_000, max_batch_bytes=None, max_delay=None, max_lease=None, extendable=True,
        native_dead_letter=False, native_retry_delay=None, ordering=False, fairness=False, deduplication=None,
        attempt_exact=False, fenced_settle=False, call_timeout=timedelta(seconds=5), shared=True,
        interruptible=True, refusals={},
    ) == Capabilities(max_batch=10, max_body=1_000)  # fmt: skip


def test_a_release_counts_and_is_at_once_by_default() -> None:
    """Giving back early is the exception that says so."""
    assert Release(delay=timedelta(0), counted=True, failure=None) == Release()
    assert Ack() == Ack()


def test_the_backend_need_not_say() -> None:
    """Unknown is `None`, told apart from no and from zero."""
    assert (None, None, None) == (SendResult().error, SendResult().duplicate, SendResult().original_id)
    assert (None, None) == (QueueStats().ready, QueueStats().oldest_age)


def test_a_repr_shows_no_body() -> None:
    """It may hold what no log should; its size helps."""
    assert "Outgoing(id='1', queue='q', bytes=6)" == repr(Outgoing(id="1", queue="q", body=b"s3cret"))


def test_which_backends_push() -> None:
    """Those that can decode and encode."""
    assert is_push(PushedDriver())
    assert not is_push(MemoryDriver())
