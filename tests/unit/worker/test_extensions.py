"""Which leases one call extends, and that it has an answer for each whatever happens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Capabilities, ExtendResult
from cloudq.errors import BackendError
from cloudq.running.held import HeldLease
from cloudq.testing.clock import FakeClock
from cloudq.worker.extensions import EXTEND_AHEAD_FRACTION, ExtensionCall, due_calls
from tests.unit.worker.fakes import delivery

LEASE = timedelta(seconds=120)
SECOND = timedelta(seconds=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def held(clock: FakeClock, one: Delivery | None = None, *, queue: str = "q") -> HeldLease:
    return HeldLease(one or delivery(clock, queue=queue), clock.elapsed(), extendable=True)


def calls(clock: FakeClock, *leases: HeldLease) -> list[list[int]]:
    """How many deliveries each lease of each call stands for."""
    made = due_calls(
        leases,
        clock.elapsed(),
        lease=lambda _: LEASE,
        capabilities=lambda _: Capabilities(max_batch=2, max_body=1000),
    )
    return [[len(group) for group in call.groups] for call in made]


def test_what_is_due_soon_goes_along(clock: FakeClock) -> None:
    """Nothing is sent before something is due; then what is due within an eighth of the lease is, too."""
    early = held(clock)
    clock.advance(LEASE / EXTEND_AHEAD_FRACTION)
    soon = held(clock)
    clock.advance(SECOND)
    later = held(clock)
    clock.advance(LEASE / 2 - LEASE / EXTEND_AHEAD_FRACTION - 2 * SECOND)
    assert [] == calls(clock, early, soon, later)
    clock.advance(SECOND)
    assert [[1, 1]] == calls(clock, early, soon, later)


def test_a_call_is_for_one_queue_and_one_batch(clock: FakeClock) -> None:
    """Queues don't mix, and no call is larger than the backend takes."""
    leases = [held(clock), held(clock), held(clock), held(clock, queue="other")]
    clock.advance(LEASE / 2)
    assert [[1, 1], [1], [1]] == calls(clock, *leases)


def test_a_shared_lease_is_one_of_the_call(clock: FakeClock) -> None:
    """The deliveries of a session are extended by extending their lease once."""
    one = delivery(clock)
    leases = [held(clock, one), held(clock, one)]
    clock.advance(LEASE / 2)
    assert [[2]] == calls(clock, *leases)


def test_what_is_settled_for_too_long_is_left_out(clock: FakeClock) -> None:
    """After `settle_timeout` it is extended no more."""
    one = held(clock)
    one.life.settle_by = clock.elapsed() + SECOND
    clock.advance(LEASE / 2)
    assert [] == calls(clock, one)
    assert one.life.extend_at is None


def test_whatever_a_call_raises_is_the_answer_of_all(clock: FakeClock) -> None:
    """Also what isn't an `Exception`: nobody else would land the call."""

    def exits(leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        raise SystemExit

    first, second = ExtensionCall([[held(clock)], [held(clock)]], LEASE).make(exits)
    assert isinstance(first.error, BackendError)
    assert isinstance(first.error.__cause__, SystemExit)
    assert second == first


def test_an_answer_of_another_length_is_an_error_of_all(clock: FakeClock) -> None:
    """Nobody knows which lease an answer is for."""
    call = ExtensionCall([[held(clock)], [held(clock)]], LEASE)
    errors = [result.error for result in call.make(lambda leases, by: [ExtendResult()])]
    assert [BackendError] * 2 == [type(error) for error in errors]
