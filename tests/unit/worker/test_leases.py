"""The lease keeper: renewed while held, never after, and whoever loses a lease is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, consumes, invariant, multiple, rule
from msgspec.structs import replace

from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Capabilities, ExtendResult
from cloudq.errors import BackendUnavailable, LeaseLost
from cloudq.running.held import HeldLease
from cloudq.running.lease_life import State
from cloudq.testing.clock import FakeClock
from cloudq.worker.leases import LeaseKeeper
from tests.observing import Told
from tests.unit.worker.fakes import delivery

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
        by = min(by, self.grant or by)
        granted = ExtendResult(expires_at=self.clock.now() + by, ends=self.clock.elapsed() + by)
        return [self.results.get(lease.receipt, granted) for lease in leases]

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


def tick_after(keeper: LeaseKeeper, clock: FakeClock, after: timedelta) -> timedelta | None:
    clock.advance(after)
    return keeper.tick(clock.elapsed())


def test_nothing_held_nothing_to_do(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """Without a lease the keeper has no reason to wake up."""
    assert keeper.tick(clock.elapsed()) is None
    assert [] == backend.calls


def test_renewed_at_half_of_the_lease(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """A lease is renewed when half of it is over, not before, and then lasts a whole lease again."""
    [held] = keeper.attach([delivery(clock)])
    assert clock.elapsed() + seconds(60) == keeper.tick(clock.elapsed())
    tick_after(keeper, clock, seconds(59))
    assert [] == backend.calls
    tick_after(keeper, clock, seconds(1))
    assert [([held.delivery.lease.receipt], LEASE)] == backend.calls
    assert (clock.elapsed() + LEASE, clock.now() + LEASE) == (held.ends, held.expires_at)


def test_renewals_share_calls(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """What is due soon is renewed with what is due now, at most a batch a call."""
    for _ in range(12):
        keeper.attach([delivery(clock)])
        clock.advance(seconds(1))
    tick_after(keeper, clock, seconds(48))
    assert [10, 2] == [len(call) for call, _ in backend.calls]


def test_deliveries_of_one_lease_are_one_renewal(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """Deliveries that share a lease (a session) are renewed by extending it once."""
    one = delivery(clock)
    held = keeper.attach([one, one])
    tick_after(keeper, clock, seconds(60))
    assert [one.lease.receipt] == backend.extended
    assert [clock.elapsed() + LEASE] * 2 == [each.ends for each in held]


def test_the_grant_counts_not_the_wish(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """If less is granted than asked for, the next renewal comes at half of what was granted."""
    backend.grant = seconds(20)
    [held] = keeper.attach([delivery(clock)])
    wake = tick_after(keeper, clock, seconds(60))
    assert clock.elapsed() + seconds(20) == held.ends
    assert clock.elapsed() + seconds(10) == wake


def held_back(clock: FakeClock, backend: Backend) -> tuple[LeaseKeeper, list[Callable[[], None]]]:
    """A keeper whose calls are made when the test makes them."""
    calls: list[Callable[[], None]] = []

    def run(call: Callable[[], None]) -> bool:
        calls.append(call)
        return True

    able = Capabilities(max_batch=10, max_body=1000)
    keeper = LeaseKeeper(
        backend, lease=lambda _: LEASE, settle_timeout=SETTLE, capabilities=lambda _: able, clock=clock, run=run
    )
    return keeper, calls


def test_what_is_released_is_never_extended(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """A release may go out at once, and from then on nothing is extended, however late it gets; nothing is lost."""
    told: list[State] = []
    [held] = keeper.attach([delivery(clock)])
    keeper.release(held, told.append)
    assert [State.RELEASING] == told
    tick_after(keeper, clock, seconds(119))
    assert [] == backend.calls
    assert not held.lost.is_set()


def test_a_release_waits_for_the_extension_in_flight(clock: FakeClock, backend: Backend) -> None:
    """An extension that landed after the release would hide the message again; nobody blocks meanwhile."""
    keeper, calls = held_back(clock, backend)
    told: list[State] = []
    [held] = keeper.attach([delivery(clock)])
    tick_after(keeper, clock, seconds(60))
    keeper.release(held, told.append)
    assert ([], 1) == (told, len(calls))
    calls.pop()()
    assert [State.RELEASING] == told
    tick_after(keeper, clock, seconds(119))
    assert [] == calls


def test_an_extension_that_hangs_holds_a_release_until_the_end(clock: FakeClock, backend: Backend) -> None:
    """A call that never comes back: at the lease's end the message is anybody's, so no release is sent any more."""
    keeper, calls = held_back(clock, backend)
    told: list[State] = []
    [held] = keeper.attach([delivery(clock)])
    tick_after(keeper, clock, seconds(60))
    keeper.release(held, told.append)
    tick_after(keeper, clock, seconds(59))
    assert [] == told
    tick_after(keeper, clock, seconds(1))
    assert [State.LOST] == told
    calls.pop()()
    assert [State.LOST] == told
    assert held.over(clock.elapsed())


def test_what_is_over_is_not_released(keeper: LeaseKeeper, clock: FakeClock) -> None:
    """Its message is anybody's: there is nothing to give back."""
    told: list[State] = []
    [held] = keeper.attach([delivery(clock)])
    clock.advance(LEASE)
    keeper.release(held, told.append)
    assert [State.ENDED] == told


def test_extended_for_real_while_it_is_settled(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """Beside an Ack that is on its way the lease is extended, so that it holds until the confirmation."""
    [held] = keeper.attach([delivery(clock)])
    keeper.note_handler_ended(held)
    clock.advance(seconds(20))
    keeper.settle(held)
    clock.advance(seconds(9))
    held.life.extend_at = clock.elapsed()
    keeper.tick(clock.elapsed())
    assert [held.delivery.lease.receipt] == backend.extended
    assert clock.elapsed() + LEASE == held.ends


def test_lease_lost_beside_a_settlement_ends_nothing(
    keeper: LeaseKeeper, clock: FakeClock, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """The delete may just have won: only the settlement's own answer counts, and until then it is tried again."""
    [held] = keeper.attach([delivery(clock)])
    keeper.settle(held)
    backend.results[held.delivery.lease.receipt] = ExtendResult(error=LeaseLost("gone"))
    tick_after(keeper, clock, seconds(60))
    assert 1 == len(backend.calls)
    assert not held.lost.is_set()
    assert not keeper.over(held)
    assert keeper.note_failure(held)
    assert [True] == keeper.note_confirmed([held])
    assert [] == caplog.messages


def test_what_is_confirmed_is_kept_no_longer(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """After the confirmation nothing is extended, and nothing reads as lost."""
    [held] = keeper.attach([delivery(clock)])
    keeper.settle(held)
    assert [True] == keeper.note_confirmed([held])
    tick_after(keeper, clock, seconds(500))
    assert [] == backend.calls
    assert not held.lost.is_set()


def test_an_extension_that_lands_after_the_confirmation_changes_nothing(clock: FakeClock, backend: Backend) -> None:
    """Whatever it says: the message is gone."""
    keeper, calls = held_back(clock, backend)
    [held] = keeper.attach([delivery(clock)])
    tick_after(keeper, clock, seconds(60))
    keeper.settle(held)
    keeper.note_confirmed([held])
    backend.results[held.delivery.lease.receipt] = ExtendResult(error=LeaseLost("gone"))
    calls.pop()()
    assert not held.lost.is_set()
    assert 0 == keeper.lost_count


def test_a_settlement_is_tried_until_the_lease_is_over(keeper: LeaseKeeper, clock: FakeClock) -> None:
    """Until its end a failed try is followed by another; the answer that comes after it is the last."""
    [held] = keeper.attach([delivery(clock)])
    keeper.settle(held)
    clock.advance(seconds(119))
    assert keeper.note_failure(held)
    clock.advance(seconds(1))
    assert not keeper.note_failure(held)
    assert held.lost.is_set()


def test_an_ack_is_tried_after_the_lease(keeper: LeaseKeeper, clock: FakeClock) -> None:
    """Finished work should not run again: one try, whose confirmation doesn't count as in time."""
    [held] = keeper.attach([delivery(clock)])
    tick_after(keeper, clock, LEASE)
    assert held.lost.is_set()
    keeper.settle(held)
    assert [False] == keeper.note_confirmed([held])


def test_a_clock_that_is_set_neither_ends_nor_lengthens_a_lease(
    keeper: LeaseKeeper, clock: FakeClock, backend: Backend
) -> None:
    """Set by an hour either way, a lease is extended when half of its span is over, and lost after all of it."""
    [held] = keeper.attach([delivery(clock)])
    for step in (1, -2):
        clock.step(timedelta(hours=step))
        tick_after(keeper, clock, seconds(29))
    assert not held.lost.is_set()
    assert [] == backend.calls
    backend.error = BackendUnavailable("down")
    tick_after(keeper, clock, seconds(2))
    assert 1 == len(backend.calls)
    tick_after(keeper, clock, seconds(60))
    assert held.lost.is_set()


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)], ids=["forwards", "backwards"])
def test_a_clock_that_was_set_changes_no_plan(
    keeper: LeaseKeeper, clock: FakeClock, backend: Backend, step: timedelta
) -> None:
    """What is attached, extended and ended after it was set is planned by the span that has passed."""
    clock.step(step)
    [held] = keeper.attach([delivery(clock)])
    for calls in (1, 2):
        tick_after(keeper, clock, LEASE / 2 - seconds(1))
        assert calls - 1 == len(backend.calls)
        tick_after(keeper, clock, seconds(1))
        assert calls == len(backend.calls)
        clock.step(step)
    keeper.note_handler_ended(held)
    tick_after(keeper, clock, LEASE / 2)
    assert 2 == len(backend.calls), "after SETTLE it isn't extended any more"
    tick_after(keeper, clock, LEASE / 2 - seconds(1))
    assert not held.lost.is_set()
    tick_after(keeper, clock, seconds(1))
    assert held.lost.is_set()


def test_what_a_driver_tells_of_an_early_end_is_told_at_once(clock: FakeClock, backend: Backend) -> None:
    """A lock that ended with its connection is lost at once, for all deliveries that share it, and not extended."""
    watched: list[Callable[[str], None]] = []
    able = Capabilities(max_batch=10, max_body=1000)
    keeper = LeaseKeeper(
        backend,
        lease=lambda _: LEASE,
        settle_timeout=SETTLE,
        capabilities=lambda _: able,
        clock=clock,
        watch=lambda _, lost: watched.append(lost),
    )
    one = delivery(clock)
    held = keeper.attach([one, one])
    [tell] = watched
    tell("the connection was cut")
    assert [True, True] == [each.lost.is_set() for each in held]
    tick_after(keeper, clock, seconds(60))
    assert [] == backend.calls


def test_of_what_could_not_be_watched_nothing_is_kept(clock: FakeClock, backend: Backend) -> None:
    """Nobody would ever settle it, and it would be extended for ever."""

    def refuse(_: Lease, __: Callable[[str], None]) -> None:
        raise RuntimeError("the driver is closed")

    able = Capabilities(max_batch=10, max_body=1000)
    keeper = LeaseKeeper(
        backend,
        lease=lambda _: LEASE,
        settle_timeout=SETTLE,
        capabilities=lambda _: able,
        clock=clock,
        watch=refuse,
    )
    with pytest.raises(RuntimeError, match="the driver is closed"):
        keeper.attach([delivery(clock)])
    tick_after(keeper, clock, seconds(60))
    assert [] == backend.calls


def test_an_early_end_beside_a_settlement_is_the_settlements_to_learn(clock: FakeClock, backend: Backend) -> None:
    """What is on its way to be settled doesn't read as lost."""
    watched: list[Callable[[str], None]] = []
    able = Capabilities(max_batch=10, max_body=1000)
    keeper = LeaseKeeper(
        backend,
        lease=lambda _: LEASE,
        settle_timeout=SETTLE,
        capabilities=lambda _: able,
        clock=clock,
        watch=lambda _, lost: watched.append(lost),
    )
    [held] = keeper.attach([delivery(clock)])
    keeper.settle(held)
    watched[0]("the connection was cut")
    assert not held.lost.is_set()
    keeper.note_loss(held)
    assert State.ENDED is held.life.state


@pytest.mark.parametrize("error", [SystemExit(1), KeyError("a plugin's slip"), BackendUnavailable("down")])
def test_whatever_an_extension_raises_it_is_tried_again(
    keeper: LeaseKeeper, clock: FakeClock, backend: Backend, error: BaseException
) -> None:
    """The lease isn't left as one whose extension is in flight for ever."""
    [held] = keeper.attach([delivery(clock)])

    def broken() -> None:
        raise error

    backend.before_answer = broken
    tick_after(keeper, clock, seconds(60))
    backend.before_answer = lambda: None
    tick_after(keeper, clock, seconds(30))
    assert 2 == len(backend.calls)
    assert clock.elapsed() + LEASE == held.ends


def test_an_answer_of_another_length_is_no_answer(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """A driver that answers for fewer leases than were asked for: all of them are tried again."""
    held = keeper.attach([delivery(clock), delivery(clock)])
    answer = backend.__class__.__call__
    short = [True]
    keeper._extend = lambda leases, by: answer(backend, leases, by)[: 1 if short else None]
    tick_after(keeper, clock, seconds(60))
    short.clear()
    tick_after(keeper, clock, seconds(30))
    assert [clock.elapsed() + LEASE] * 2 == [each.ends for each in held]


def test_without_another_thread_the_keepers_own_makes_the_call(clock: FakeClock, backend: Backend) -> None:
    """Nothing is extended twice, should the pool make the call later after all."""
    calls: list[Callable[[], None]] = []
    able = Capabilities(max_batch=10, max_body=1000)
    keeper = LeaseKeeper(
        backend,
        lease=lambda _: LEASE,
        settle_timeout=SETTLE,
        capabilities=lambda _: able,
        clock=clock,
        run=lambda call: bool(calls.append(call)),
    )
    [held] = keeper.attach([delivery(clock)])
    tick_after(keeper, clock, seconds(60))
    assert clock.elapsed() + LEASE == held.ends
    calls.pop()()
    assert 1 == len(backend.calls)


def test_a_lost_lease_is_told_once(
    keeper: LeaseKeeper, clock: FakeClock, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """When the backend reports LeaseLost the holder is told, it is logged once, and never renewed again."""
    [held] = keeper.attach([delivery(clock)])
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
    [held] = keeper.attach([delivery(clock)])
    end = held.ends
    wake = keeper.tick(clock.elapsed())
    while wake is not None:
        assert wake <= end
        wake = tick_after(keeper, clock, wake - clock.elapsed())
        assert keeper.failing or held.lost.is_set()
    assert held.lost.is_set()
    assert end == clock.elapsed()
    assert not keeper.failing  # nothing is held any more that could be extended
    assert len(backend.calls) > 5
    assert 1 == sum("can't be extended" in line for line in caplog.messages)


def test_one_success_after_failures_keeps_the_lease(
    keeper: LeaseKeeper, clock: FakeClock, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """A backend that recovers before the end costs nothing, and its recovery is logged."""
    caplog.set_level(logging.INFO)
    backend.error = BackendUnavailable("down")
    [held] = keeper.attach([delivery(clock)])
    wake = tick_after(keeper, clock, seconds(60))
    assert wake is not None
    backend.error = None
    tick_after(keeper, clock, wake - clock.elapsed())
    assert clock.elapsed() + LEASE == held.ends
    assert not held.lost.is_set()
    assert not keeper.failing
    assert "leases are extended again" in caplog.messages


def test_the_hard_limit_ends_renewing(
    keeper: LeaseKeeper, clock: FakeClock, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """No extension reaches beyond the hard limit; at the limit the lease is lost, and the log says why."""
    limit = clock.elapsed() + seconds(150)
    [held] = keeper.attach([delivery(clock, longest=seconds(150))])
    tick_after(keeper, clock, seconds(60))
    assert [seconds(90)] == [by for _, by in backend.calls]
    assert limit == held.ends
    assert limit == keeper.tick(clock.elapsed())
    tick_after(keeper, clock, seconds(90))
    assert 1 == len(backend.calls)
    assert held.lost.is_set()
    assert any("longest time that the backend allows" in line for line in caplog.messages)


def test_what_cant_be_extended_is_not(clock: FakeClock, backend: Backend) -> None:
    """Where leases can't be extended none is, and the holder is told at the end."""
    keeper = make(clock, backend, extendable=False)
    [held] = keeper.attach([delivery(clock)])
    tick_after(keeper, clock, LEASE)
    assert [] == backend.calls
    assert held.lost.is_set()


def test_renewed_while_being_settled_but_not_for_ever(keeper: LeaseKeeper, clock: FakeClock, backend: Backend) -> None:
    """After the handler's end a lease is renewed for settle_timeout at most (semantics 11)."""
    [held] = keeper.attach([delivery(clock)])
    clock.advance(seconds(40))
    keeper.note_handler_ended(held)
    tick_after(keeper, clock, seconds(20))
    assert 1 == len(backend.calls)
    tick_after(keeper, clock, seconds(60))
    assert 1 == len(backend.calls)
    tick_after(keeper, clock, seconds(60))
    assert held.lost.is_set()


def test_a_late_tick_raises_the_alarm(keeper: LeaseKeeper, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """A tick that comes more than a third of a lease late says that something held the interpreter."""
    keeper.attach([delivery(clock)])
    keeper.tick(clock.elapsed())
    tick_after(keeper, clock, seconds(60) + LEASE / 3)
    assert not [line for line in caplog.messages if "late" in line]
    wake = keeper.wake_at
    assert wake is not None
    tick_after(keeper, clock, wake - clock.elapsed() + LEASE / 3 + seconds(1))
    assert 1 == sum("--processes" in line for line in caplog.messages)


class Keeping(RuleBasedStateMachine):
    """Attaching, ending, settling, releasing and losing, in any order, while time passes and calls come back late.

    The model knows what the backend granted; calls are answered when the machine says so, as on a network, and the wall
    clock is set again and again.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.in_flight: list[Callable[[], None]] = []
        self.answer = "granted"
        self.released: set[object] = set()
        self.granted: dict[object, timedelta] = {}
        able = Capabilities(max_batch=3, max_body=1000)
        self.keeper = LeaseKeeper(
            self.extend,
            lease=lambda _: LEASE,
            settle_timeout=SETTLE,
            capabilities=lambda _: able,
            clock=self.clock,
            run=self.call_later,
        )
        self.held: list[HeldLease] = []

    def call_later(self, call: Callable[[], None]) -> bool:
        self.in_flight.append(call)
        return True

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        now = self.clock.elapsed()
        assert 0 < len(leases) <= 3
        if self.answer == "down":
            raise BackendUnavailable("down")
        results = []
        for lease in leases:
            assert lease.receipt not in self.released, "extended after its release was sent"
            assert lease.hard_end is None or now + by <= lease.hard_end, "extended beyond the hard end"
            if self.answer == "lost":
                results.append(ExtendResult(error=LeaseLost("gone")))
                continue
            self.granted[lease.receipt] = now + by
            results.append(ExtendResult(expires_at=self.clock.now() + by, ends=now + by))
        return results

    deliveries = Bundle("deliveries")
    settling = Bundle("settling")

    @rule(target=deliveries, limit=st.one_of(st.none(), st.integers(130, 400)))
    def attach(self, limit: int | None) -> HeldLease:
        now = self.clock.elapsed()
        one: Delivery = delivery(self.clock)
        span = replace(one.lease, ends=now + LEASE, hard_end=None if limit is None else now + seconds(limit))
        self.granted[one.lease.receipt] = now + LEASE
        [held] = self.keeper.attach([replace(one, lease=span)])
        self.held.append(held)
        return held

    @rule(held=deliveries)
    def end_handler(self, held: HeldLease) -> None:
        if held.life.settle_by is None:
            self.keeper.note_handler_ended(held)

    @rule(held=consumes(deliveries))
    def release(self, held: HeldLease) -> None:
        def released(state: State) -> None:
            if state is State.RELEASING:
                self.released.add(held.delivery.lease.receipt)
            else:
                assert held.over(self.clock.elapsed()) or held.lost.is_set()

        self.keeper.release(held, released)

    @rule(target=settling, held=consumes(deliveries))
    def settle(self, held: HeldLease) -> HeldLease:
        self.keeper.settle(held)
        return held

    @rule(held=consumes(settling), answer=st.sampled_from(["confirmed", "lost", "given up"]))
    def answer_settlement(self, held: HeldLease, answer: str) -> None:
        if answer == "confirmed":
            self.keeper.note_confirmed([held])
        elif answer == "lost":
            self.keeper.note_loss(held)
        else:
            self.keeper.give_up(held)
        assert held.life.state is State.ENDED

    @rule(target=settling, held=consumes(settling))
    def fail_settlement(self, held: HeldLease) -> HeldLease | MultipleResults[HeldLease]:
        return held if self.keeper.note_failure(held) else multiple()

    @rule(answer=st.sampled_from(["granted", "granted", "down", "lost"]))
    def switch(self, answer: str) -> None:
        self.answer = answer

    @rule(hours=st.integers(-2, 2))
    def set_the_clock(self, hours: int) -> None:
        self.clock.step(timedelta(hours=hours))

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
            wake = self.keeper.tick(self.clock.elapsed())
            self.land()
            wake = self.keeper.wake_at if wake is not None else None
            if wake is None:
                return
            before = {one: one.ends for one in self.held if one.life.running}
            if wake > self.clock.elapsed():
                self.clock.advance(wake - self.clock.elapsed())
            self.keeper.tick(self.clock.elapsed())
            self.land()
            if self.answer != "granted":
                continue
            for one, ended in before.items():
                life = one.life
                given_up = life.settle_by is not None and life.settle_by <= self.clock.elapsed()
                at_limit = life.hard_end is not None and ended >= life.hard_end
                if one._backoff is None and not given_up and not at_limit and life.state is not State.RELEASING:
                    assert not one.lost.is_set() or life.state is State.LATE, "lost though the backend works"

    @invariant()
    def nobody_believes_in_more_than_was_granted(self) -> None:
        for one in self.held:
            assert one.ends <= self.granted[one.delivery.lease.receipt]

    @invariant()
    def no_hard_limit_is_passed(self) -> None:
        for one in self.held:
            assert one.life.hard_end is None or one.ends <= one.life.hard_end

    @invariant()
    def what_is_over_is_told(self) -> None:
        for one in self.held:
            assert one.life.state not in (State.LOST, State.LATE) or one.lost.is_set()


Keeping.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestKeeping = Keeping.TestCase


def test_an_observer_is_told_how_many_leases_were_extended(clock: FakeClock, backend: Backend) -> None:
    """Those that were granted, by their queue; a call that failed extended none."""
    able = Capabilities(max_batch=10, max_body=1000)
    keeper = LeaseKeeper(
        backend,
        lease=lambda _: LEASE,
        settle_timeout=SETTLE,
        capabilities=lambda _: able,
        clock=clock,
        observer=(told := Told()),
    )
    held = keeper.attach([delivery(clock) for _ in range(3)])
    backend.results[held[2].delivery.lease.receipt] = ExtendResult(error=LeaseLost("gone"))
    tick_after(keeper, clock, LEASE / 2)
    assert [("lease lost", held[2].delivery.queue), ("lease renewed", held[0].delivery.queue, 2)] == told.log
    backend.error = BackendUnavailable("away")
    tick_after(keeper, clock, LEASE / 2)
    assert 2 == len(told.log)


def test_an_observer_is_told_of_each_lease_that_is_lost(clock: FakeClock, backend: Backend) -> None:
    """Once, with no lock held: it may ask the keeper."""
    able = Capabilities(max_batch=10, max_body=1000)
    keeper = LeaseKeeper(
        backend,
        lease=lambda _: LEASE,
        settle_timeout=SETTLE,
        capabilities=lambda _: able,
        clock=clock,
        observer=(told := Told()),
    )
    backend.error = BackendUnavailable("away")
    [held] = keeper.attach([delivery(clock)])
    tick_after(keeper, clock, LEASE)
    tick_after(keeper, clock, LEASE)
    assert held.lost.is_set()
    assert [("lease lost", held.delivery.queue)] == told.log
