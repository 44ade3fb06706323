"""The lease keeper: renewed while held, never after, and whoever loses a lease is told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Capabilities, ExtendResult
from cloudq.errors import BackendUnavailable, LeaseLost
from cloudq.running.held import HeldLease
from cloudq.testing.clock import FakeClock
from cloudq.worker.lease_thread import LeaseThread
from cloudq.worker.leases import LeaseKeeper
from tests.unit.worker.fakes import delivery, until

LEASE = timedelta(seconds=120)
SETTLE = timedelta(seconds=30)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


class Backend:
    """Grants extensions, up to the hard limit, and remembers the calls."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.calls: list[tuple[list[object], timedelta]] = []
        self.error: Exception | None = None
        self.results: dict[object, ExtendResult] = {}
        self.grant: timedelta | None = None
        self.before_answer: Callable[[], None] = lambda: None

    def __call__(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        self.calls.append(([lease.receipt for lease in leases], by))
        self.before_answer()
        if self.error is not None:
            raise self.error
        granted = self.clock.now() + min(by, self.grant or by)
        return [self.results.get(lease.receipt, ExtendResult(expires_at=granted)) for lease in leases]

    @property
    def extended(self) -> list[object]:
        return [receipt for call, _ in self.calls for receipt in call]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def backend(clock: FakeClock) -> Backend:
    return Backend(clock)


def make(clock: FakeClock, backend: Backend, **capabilities: object) -> LeaseKeeper:
    able = Capabilities(**{"max_batch": 10, "max_body": 1000, **capabilities})  # type: ignore[arg-type]  # any of its fields
    return LeaseKeeper(backend, lease=lambda _: LEASE, settle_timeout=SETTLE, capabilities=lambda _: able, clock=clock)


@pytest.fixture
def keeper(clock: FakeClock, backend: Backend) -> LeaseKeeper:
    return make(clock, backend)


def tick_after(keeper: LeaseKeeper, clock: FakeClock, after: timedelta) -> datetime | None:
    clock.advance(after)
    return keeper.tick(clock.now())


def test_nothing_held_nothing_to_do(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """Without a lease the keeper has no reason to wake up."""
    assert keeper.tick(clock.now()) is None
    assert [] == backend.calls


def test_renewed_at_half_of_the_lease(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """A lease is renewed when half of it is over, not before, and then lasts a whole lease again."""
    [held] = keeper.attach([delivery(clock.now())])
    assert clock.now() + seconds(60) == keeper.tick(clock.now())
    tick_after(keeper, clock, seconds(59))
    assert [] == backend.calls
    tick_after(keeper, clock, seconds(1))
    assert [([held.delivery.lease.receipt], LEASE)] == backend.calls
    assert clock.now() + LEASE == held.expires_at


def test_renewals_share_calls(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """What is due soon is renewed with what is due now, at most a batch a call."""
    for _ in range(12):
        keeper.attach([delivery(clock.now())])
        clock.advance(seconds(1))
    tick_after(keeper, clock, seconds(48))
    assert [10, 2] == [len(call) for call, _ in backend.calls]


def test_deliveries_of_one_lease_are_one_renewal(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """Deliveries that share a lease (a session) are renewed by extending it once."""
    one = delivery(clock.now())
    held = keeper.attach([one, one])
    tick_after(keeper, clock, seconds(60))
    assert [one.lease.receipt] == backend.extended
    assert [clock.now() + LEASE] * 2 == [each.expires_at for each in held]


def test_the_grant_counts_not_the_wish(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """If less is granted than asked for, the next renewal comes at half of what was granted."""
    backend.grant = seconds(20)
    [held] = keeper.attach([delivery(clock.now())])
    wake = tick_after(keeper, clock, seconds(60))
    assert clock.now() + seconds(20) == held.expires_at
    assert clock.now() + seconds(10) == wake


def test_a_detached_lease_is_never_renewed(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """After detach nothing is extended, however late it gets, and nothing is lost."""
    [held] = keeper.attach([delivery(clock.now())])
    assert keeper.detach([held])
    tick_after(keeper, clock, seconds(500))
    assert [] == backend.calls
    assert not held.lost.is_set()


def test_detach_waits_for_a_renewal_in_flight(clock: FakeClock, backend: Backend) -> None:
    """Detach returns only when the renewal that was on its way has landed."""
    keeper = make(clock, backend)
    sent, land = threading.Event(), threading.Event()

    def on_the_wire() -> None:
        sent.set()
        assert land.wait(10)

    backend.before_answer = on_the_wire
    [held] = keeper.attach([delivery(clock.now())])
    clock.advance(seconds(60))
    ticker = threading.Thread(target=keeper.tick, args=(clock.now(),))
    ticker.start()
    assert sent.wait(10)
    assert not keeper.detach([held], wait=False)
    order: list[str] = []
    detacher = threading.Thread(target=lambda: (keeper.detach([held]), order.append("detached")))
    detacher.start()
    clock.until_waiting(1)
    order.append("landing")
    land.set()
    detacher.join(10)
    ticker.join(10)
    assert ["landing", "detached"] == order


def test_a_renewal_that_hangs_holds_detach_until_the_lease_is_over(clock: FakeClock, backend: Backend) -> None:
    """A call that never comes back doesn't block a release for ever: after the lease's end it can't matter."""
    calls: list[Callable[[], None]] = []
    able = Capabilities(max_batch=10, max_body=1000)
    keeper = LeaseKeeper(
        backend,
        lease=lambda _: LEASE,
        settle_timeout=SETTLE,
        capabilities=lambda _: able,
        clock=clock,
        run=calls.append,
    )
    [held] = keeper.attach([delivery(clock.now())])
    tick_after(keeper, clock, seconds(60))
    assert 1 == len(calls)
    detacher = threading.Thread(target=keeper.detach, args=([held],))
    detacher.start()
    clock.until_waiting(1)
    clock.advance(seconds(60))
    detacher.join(10)
    assert not detacher.is_alive()


def test_a_lost_lease_is_told_once(
    keeper: LeaseKeeper, clock: FakeClock, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """When the backend reports LeaseLost the holder is told, it is logged once, and never renewed again."""
    [held] = keeper.attach([delivery(clock.now())])
    backend.results[held.delivery.lease.receipt] = ExtendResult(error=LeaseLost("gone"))
    tick_after(keeper, clock, seconds(60))
    assert held.lost.is_set()
    tick_after(keeper, clock, seconds(600))
    assert 1 == len(backend.calls)
    assert 1 == sum("lost the lease" in line for line in caplog.messages)
    assert 1 == keeper.lost_count


def test_a_failing_renewal_is_tried_again_before_the_end(
    keeper: LeaseKeeper, clock: FakeClock, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """While renewals fail they are tried again, ever sooner before the end; then the lease is lost. Logged once."""
    backend.error = BackendUnavailable("down")
    [held] = keeper.attach([delivery(clock.now())])
    end = held.expires_at
    wake = keeper.tick(clock.now())
    while wake is not None:
        assert wake <= end
        wake = tick_after(keeper, clock, wake - clock.now())
    assert held.lost.is_set()
    assert end == clock.now()
    assert len(backend.calls) > 5
    assert 1 == sum("can't be renewed" in line for line in caplog.messages)


def test_one_success_after_failures_keeps_the_lease(
    keeper: LeaseKeeper, clock: FakeClock, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """A backend that recovers before the end costs nothing, and its recovery is logged."""
    caplog.set_level(logging.INFO)
    backend.error = BackendUnavailable("down")
    [held] = keeper.attach([delivery(clock.now())])
    wake = tick_after(keeper, clock, seconds(60))
    assert wake is not None
    backend.error = None
    tick_after(keeper, clock, wake - clock.now())
    assert clock.now() + LEASE == held.expires_at
    assert not held.lost.is_set()
    assert "leases are renewed again" in caplog.messages


def test_the_hard_limit_ends_renewing(
    keeper: LeaseKeeper, clock: FakeClock, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """No extension reaches beyond the hard limit; at the limit the lease is lost, and the log says why."""
    limit = clock.now() + seconds(150)
    [held] = keeper.attach([delivery(clock.now(), hard_limit=limit)])
    tick_after(keeper, clock, seconds(60))
    assert [seconds(90)] == [by for _, by in backend.calls]
    assert limit == held.expires_at
    assert limit == keeper.tick(clock.now())
    tick_after(keeper, clock, seconds(90))
    assert 1 == len(backend.calls)
    assert held.lost.is_set()
    assert any("longest time that the backend allows" in line for line in caplog.messages)


def test_what_cant_be_extended_is_not(clock: FakeClock, backend: Backend) -> None:
    """Where leases can't be extended none is, and the holder is told at the end."""
    keeper = make(clock, backend, extendable=False)
    [held] = keeper.attach([delivery(clock.now())])
    tick_after(keeper, clock, LEASE)
    assert [] == backend.calls
    assert held.lost.is_set()


def test_renewed_while_being_settled_but_not_for_ever(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """After the handler's end a lease is renewed for settle_timeout at most (semantics 11)."""
    [held] = keeper.attach([delivery(clock.now())])
    clock.advance(seconds(40))
    keeper.handler_ended(held)
    tick_after(keeper, clock, seconds(20))
    assert 1 == len(backend.calls)
    tick_after(keeper, clock, seconds(60))
    assert 1 == len(backend.calls)
    tick_after(keeper, clock, seconds(60))
    assert held.lost.is_set()


def test_a_late_tick_raises_the_alarm(keeper: LeaseKeeper, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """A tick that comes more than a third of a lease late says that something held the interpreter."""
    keeper.attach([delivery(clock.now())])
    keeper.tick(clock.now())
    tick_after(keeper, clock, seconds(60) + LEASE / 3)
    assert not [line for line in caplog.messages if "late" in line]
    wake = keeper.wake_at
    assert wake is not None
    tick_after(keeper, clock, wake - clock.now() + LEASE / 3 + seconds(1))
    assert 1 == sum("--processes" in line for line in caplog.messages)


def test_the_thread_renews_in_time(clock: FakeClock, backend: Backend) -> None:
    """The keeper's thread sleeps until something is due, and notices what is attached meanwhile."""
    keeper = make(clock, backend)
    thread = LeaseThread(keeper, clock)
    thread.start()
    clock.until_waiting(1)
    keeper.attach([delivery(clock.now())])
    until(lambda: keeper.wake_at is not None)
    clock.until_waiting(1)
    clock.advance(seconds(60))
    until(lambda: len(backend.calls) == 1)
    thread.stop()
    until(lambda: not thread.alive)


class Keeping(RuleBasedStateMachine):
    """Attaching, ending, detaching and losing, in any order, while time passes and renewals come back late.

    The model knows what the backend granted; calls are answered when the machine says so, as on a network.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.in_flight: list[Callable[[], None]] = []
        self.working = True
        self.failed_since: datetime | None = None
        self.detached: set[object] = set()
        self.granted: dict[object, datetime] = {}
        able = Capabilities(max_batch=3, max_body=1000)
        self.keeper = LeaseKeeper(
            self.extend,
            lease=lambda _: LEASE,
            settle_timeout=SETTLE,
            capabilities=lambda _: able,
            clock=self.clock,
            run=self.in_flight.append,
        )
        self.held: list[HeldLease] = []

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        now = self.clock.now()
        assert 0 < len(leases) <= 3
        if not self.working:
            raise BackendUnavailable("down")
        results = []
        for lease in leases:
            assert lease.receipt not in self.detached, "extended after detach returned"
            assert lease.hard_limit is None or now + by <= lease.hard_limit, "extended beyond the hard limit"
            self.granted[lease.receipt] = now + by
            results.append(ExtendResult(expires_at=now + by))
        return results

    deliveries = Bundle("deliveries")

    @rule(target=deliveries, limit=st.one_of(st.none(), st.integers(130, 400)))
    def attach(self, limit: int | None) -> HeldLease:
        now = self.clock.now()
        one: Delivery = delivery(now, hard_limit=None if limit is None else now + seconds(limit))
        self.granted[one.lease.receipt] = one.lease.expires_at
        [held] = self.keeper.attach([one])
        self.held.append(held)
        return held

    @rule(held=deliveries)
    def end_handler(self, held: HeldLease) -> None:
        if held.settle_by is None:
            self.keeper.handler_ended(held)

    @rule(held=consumes(deliveries))
    def detach(self, held: HeldLease) -> None:
        self.held.remove(held)
        if self.keeper.detach([held], wait=False):
            self.detached.add(held.delivery.lease.receipt)

    @rule(working=st.booleans())
    def switch(self, working: bool) -> None:
        self.working = working

    @rule()
    def land(self) -> None:
        calls, self.in_flight[:] = list(self.in_flight), []
        for call in calls:
            call()

    @rule(times=st.integers(1, 5))
    def run_on_time(self, times: int) -> None:
        """Each tick comes when it was asked for, and each call is answered at once."""
        for _ in range(times):
            self.land()
            wake = self.keeper.tick(self.clock.now())
            self.land()
            wake = self.keeper.wake_at if wake is not None else None
            if wake is None:
                return
            before = {one: one.expires_at for one in self.held if not one.lost.is_set()}
            if wake > self.clock.now():
                self.clock.advance(wake - self.clock.now())
            was_working = self.working
            self.keeper.tick(self.clock.now())
            self.land()
            if not was_working:
                continue
            for one, expired_at in before.items():
                limit = one.delivery.lease.hard_limit
                given_up = one.settle_by is not None and one.settle_by <= self.clock.now()
                at_limit = limit is not None and expired_at >= limit
                if one._backoff is None and not given_up and not at_limit:
                    assert not one.lost.is_set(), "a lease was lost though the backend works"

    @invariant()
    def nobody_believes_in_more_than_was_granted(self) -> None:
        for one in self.held:
            assert one.expires_at <= self.granted[one.delivery.lease.receipt]

    @invariant()
    def no_hard_limit_is_passed(self) -> None:
        for one in self.held:
            limit = one.delivery.lease.hard_limit
            assert limit is None or one.expires_at <= limit


Keeping.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestKeeping = Keeping.TestCase
