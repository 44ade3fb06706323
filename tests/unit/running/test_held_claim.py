"""`HeldClaim`: it is renewed, completed or released by its own token only, whatever the store does meanwhile."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

import pytest

from cloudq.core.failure import Failure
from cloudq.core.outcome import ACKED, DeadLettered, Retried
from cloudq.core.store import Claimed, ClaimKey, RecordState
from cloudq.errors import StoreUnavailable, TimeLimitExceeded
from cloudq.running.heartbeat import Heartbeat
from cloudq.running.held_claim import COMPLETE_AGAIN, HeldClaim, Terms, again
from cloudq.stores.memory import MemoryStore
from cloudq.testing import FakeClock

KEY, OLD = ClaimKey("charge", "order-42"), ClaimKey("shop.charge", "order-42")
LEASE, KEEP = timedelta(minutes=2), timedelta(days=28)
RETRIED = Retried(delay=timedelta(0), reason="broken")
DEAD = DeadLettered(reason="broken", failure=Failure.of("broken"))


class Failing(MemoryStore):
    """A memory store that is down whenever a test says so: as if no call arrived."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.down = False
        self.called = threading.Condition()
        self.calls: list[str] = []

    def _note(self, call: str) -> None:
        with self.called:
            self.calls.append(call)
            self.called.notify_all()
            down = self.down  # before who waits for this call changes it
        if down:
            raise StoreUnavailable("down")

    def until(self, count: int, call: str) -> None:
        with self.called:
            assert self.called.wait_for(lambda: self.calls.count(call) >= count, 60), self.calls

    def renew(self, *args, **kwargs):
        try:
            return super().renew(*args, **kwargs) if not self.down else False
        finally:
            self._note("renew")

    def complete(self, *args, **kwargs):
        self._note("complete")
        return super().complete(*args, **kwargs)

    def release(self, *args, **kwargs):
        self._note("release")
        return super().release(*args, **kwargs)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(clock):
    return Failing(clock)


@pytest.fixture
def heartbeat(clock):
    return Heartbeat(clock)


def held(store, clock, *, keys=(KEY,), heartbeat=None, lost=None, is_final=False):
    """Claims for a run."""
    records = []
    for key in keys:
        claim = store.claim(key, owner="a", lease=LEASE, fingerprint=b"f", keep=KEEP)
        assert isinstance(claim, Claimed)
        records.append((key, claim.token))
    terms = Terms(lease=LEASE, keep=KEEP, heartbeat=heartbeat, clock=clock, is_final=is_final)
    lost = lost or threading.Event()
    return HeldClaim(store, "prod", records, terms, since=clock.elapsed(), lease_lost=lost, said="charge 1")


def successor(store, key=KEY):
    """Somebody else takes it over."""
    claim = store.claim(key, owner="b", lease=LEASE, fingerprint=b"f", keep=KEEP)
    assert isinstance(claim, Claimed)
    return claim.token


# ── its end ──────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_done_is_completed(store, clock):
    """For as long as the record is kept."""
    claim = held(store, clock)
    assert ACKED is claim.end(ACKED, None)
    record = store.show(KEY)
    assert (RecordState.COMPLETED, claim.token, clock.now() + KEEP) == (record.state, record.token, record.keep_until)


@pytest.mark.parametrize("outcome", [RETRIED, DEAD], ids=["retried", "dead"])
def test_what_failed_is_released(store, clock, outcome):
    """With nothing left but the token, so that the retry, or a redrive, starts at once."""
    claim = held(store, clock)
    assert outcome is claim.end(outcome, None)
    assert (RecordState.RELEASED, None) == (store.show(KEY).state, store.show(KEY).fingerprint)
    assert successor(store) > claim.token


def test_each_name_of_a_task_is_ended(store, clock):
    """The fence is the token of the present name."""
    claim = held(store, clock, keys=(KEY, OLD))
    assert (KEY, store.show(KEY).token) == (claim.key, claim.token)
    claim.end(ACKED, None)
    assert [RecordState.COMPLETED] * 2 == [store.show(key).state for key in (KEY, OLD)]


@pytest.mark.parametrize("outcome", [ACKED, RETRIED, DEAD], ids=["acked", "retried", "dead"])
def test_a_stale_owner_changes_nothing(store, clock, outcome, caplog):
    """Neither a completion nor a release of its own reaches its successor's claim; finished work isn't repeated."""
    lost = threading.Event()
    claim = held(store, clock, lost=lost)
    clock.advance(LEASE)
    token = successor(store)
    assert outcome is claim.end(outcome, None)
    record = store.show(KEY)
    assert (RecordState.IN_PROGRESS, "b", token) == (record.state, record.owner, record.token)
    assert (outcome is ACKED) == lost.is_set() == ("it may have run twice" in caplog.text)


def test_a_store_that_is_down_is_told_later_what_is_done(store, clock, heartbeat):
    """The run doesn't wait for it: its end is raised, to be logged, and stays true while nobody takes over."""
    claim = held(store, clock, heartbeat=heartbeat)
    store.down = True
    with pytest.raises(StoreUnavailable):
        claim.end(ACKED, None)
    claim.give_up()  # as the Processor does: it must not be released for that
    store.until(2, "complete")
    clock.until_waiting()
    clock.advance(COMPLETE_AGAIN)
    store.until(4, "complete")
    assert RecordState.IN_PROGRESS is store.show(KEY).state
    store.down = False
    clock.until_waiting()
    clock.advance(COMPLETE_AGAIN)
    store.until(5, "complete")
    clock.until_waiting()
    assert RecordState.COMPLETED is store.show(KEY).state
    assert "release" not in store.calls


def test_a_store_that_is_silent_is_told_later_what_is_done(store, clock, heartbeat, monkeypatch):
    """As one that is down: nobody waits longer than the time that there is for it."""
    claim = held(store, clock, heartbeat=heartbeat)

    def hang(*_, **__):
        raise TimeLimitExceeded

    with monkeypatch.context() as silent:
        silent.setattr(store, "complete", hang)
        with pytest.raises(TimeLimitExceeded):
            claim.end(ACKED, None)
    clock.until_waiting()
    clock.advance(COMPLETE_AGAIN)
    store.until(1, "complete")
    clock.until_waiting()
    assert RecordState.COMPLETED is store.show(KEY).state


def test_a_store_that_is_down_keeps_no_failure_from_being_retried(store, clock, caplog):
    """What isn't given back lapses."""
    claim = held(store, clock)
    store.down = True
    assert RETRIED is claim.end(RETRIED, None)
    assert "lapses" in caplog.text
    clock.advance(LEASE)
    assert successor(store) > claim.token


def test_an_answer_that_was_lost_is_asked_for_again(clock):
    """The call was carried out, and its answer cut off: the second one agrees."""

    class Cut(MemoryStore):
        cut = True

        def complete(self, *args, **kwargs):
            done = super().complete(*args, **kwargs)
            if self.cut:
                self.cut = False
                raise StoreUnavailable("the connection was reset")
            return done

    store = Cut(clock)
    assert ACKED is held(store, clock).end(ACKED, None)
    assert RecordState.COMPLETED is store.show(KEY).state


def test_again_raises_what_the_second_call_raises():
    """There is no third one."""
    calls = []

    def call():
        calls.append(1)
        raise StoreUnavailable("down")

    with pytest.raises(StoreUnavailable):
        again(call)
    assert 2 == len(calls)


def test_an_interrupted_run_gives_its_claim_back_aside(store, clock, heartbeat):
    """Whoever interrupts it isn't kept waiting for the store."""
    claim = held(store, clock, heartbeat=heartbeat)
    claim.give_up()
    claim.give_up()
    store.until(1, "release")
    clock.until_waiting()
    assert RecordState.RELEASED is store.show(KEY).state
    assert 1 == store.calls.count("release")


def test_an_interrupted_run_of_a_final_claim_keeps_it(store, clock, heartbeat):
    """Nobody knows how far it came, and it isn't to be started again."""
    held(store, clock, heartbeat=heartbeat, is_final=True).give_up()
    looked = threading.Event()
    heartbeat.aside(looked.set)  # after what was put aside before
    assert looked.wait(60)
    assert [] == store.calls
    assert RecordState.IN_PROGRESS is store.show(KEY).state


# ── its renewal ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_claim_holds_for_as_long_as_its_handler_runs(store, clock, heartbeat):
    """However long that is: it is renewed at a third of its lease."""
    lost = threading.Event()
    claim = held(store, clock, heartbeat=heartbeat, lost=lost)
    for beat in range(1, 8):
        clock.until_waiting()
        clock.advance(LEASE / 3)
        store.until(beat, "renew")
    assert (RecordState.IN_PROGRESS, "a") == (store.show(KEY).state, store.show(KEY).owner)
    assert not lost.is_set()
    claim.end(ACKED, None)
    assert RecordState.COMPLETED is store.show(KEY).state


def test_a_claim_that_was_taken_over_is_lost_at_its_next_renewal(store, clock, caplog):
    """The handler can see it."""
    lost = threading.Event()
    claim = held(store, clock, lost=lost)
    clock.advance(LEASE)
    token = successor(store)
    claim.renew()
    assert lost.is_set()
    assert "is lost: it was taken over" in caplog.text
    assert (token, "b") == (store.show(KEY).token, store.show(KEY).owner)


def test_a_store_that_fails_costs_the_claim_only_once_it_is_over(clock, caplog):
    """A renewal that fails is tried again soon, and a claim that was over is still its owner's."""

    class Down(MemoryStore):
        down = True

        def renew(self, *args, **kwargs):
            if self.down:
                raise StoreUnavailable("down")
            return super().renew(*args, **kwargs)

    lost, store = threading.Event(), Down(clock)
    claim = held(store, clock, lost=lost)
    clock.advance(LEASE / 3)
    while clock.elapsed() < LEASE:
        claim.renew()
        assert not lost.is_set(), clock.elapsed()
        assert clock.elapsed() + LEASE / 9 == claim.renew_at
        clock.advance(LEASE / 9)
    claim.renew()
    assert lost.is_set()
    with caplog.at_level(logging.ERROR):
        caplog.clear()
        claim.renew()
    assert "" == caplog.text, "said once"
    store.down = False
    claim.renew()
    assert RecordState.IN_PROGRESS is store.show(KEY).state


def test_a_renewal_that_comes_after_the_end_is_no_loss(store, clock):
    """It was under way while the run ended."""
    lost = threading.Event()
    claim = held(store, clock, lost=lost)
    claim.end(ACKED, None)
    claim.renew()
    assert not lost.is_set()
