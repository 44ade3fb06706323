"""`Heartbeat`: what is held is renewed in time; what nobody has any more isn't."""

from __future__ import annotations

import gc
import os
import threading
from datetime import timedelta

import pytest

from cloudq.running.heartbeat import IDLE, Heartbeat
from cloudq.testing import FakeClock

BEAT = timedelta(seconds=40)


class Claim:
    """Notes when it was renewed."""

    def __init__(self, clock: FakeClock, every: timedelta = BEAT) -> None:
        self._clock, self._every = clock, every
        self.renew_at = clock.elapsed() + every
        self.renewed: list[timedelta] = []
        self.told = threading.Condition()

    def renew(self) -> None:
        with self.told:
            self.renewed.append(self._clock.elapsed())
            self.renew_at = self._clock.elapsed() + self._every
            self.told.notify_all()

    def wait(self, times: int) -> None:
        with self.told:
            assert self.told.wait_for(lambda: len(self.renewed) >= times, 60), self.renewed


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def heartbeat(clock):
    return Heartbeat(clock)


def test_what_is_held_is_renewed_each_time_it_is_due(heartbeat, clock):
    """Not before, and again and again."""
    claim = Claim(clock)
    heartbeat.add(claim)
    for beat in range(1, 4):
        clock.until_waiting()
        clock.advance(BEAT)
        claim.wait(beat)
    assert [BEAT, 2 * BEAT, 3 * BEAT] == claim.renewed


def test_each_is_renewed_at_its_own_time(heartbeat, clock):
    """One that is due sooner than all that are held isn't kept waiting."""
    slow, quick = Claim(clock, 10 * BEAT), Claim(clock, BEAT)
    heartbeat.add(slow)
    heartbeat.add(quick)
    clock.until_waiting()
    clock.advance(BEAT)
    quick.wait(1)
    assert [] == slow.renewed


def test_what_has_ended_is_renewed_no_more(heartbeat, clock):
    """While another one still is."""
    ended, running = Claim(clock), Claim(clock)
    heartbeat.add(ended)
    heartbeat.add(running)
    heartbeat.remove(ended)
    clock.until_waiting()
    clock.advance(BEAT)
    running.wait(1)
    assert [] == ended.renewed


def test_what_nobody_has_any_more_is_not_renewed(heartbeat, clock):
    """A run that was interrupted before it could end its claim: the claim lapses."""
    renewed = []

    class Dropped(Claim):
        def renew(self) -> None:
            renewed.append(self)

    dropped, running = Dropped(clock), Claim(clock)
    heartbeat.add(dropped)
    heartbeat.add(running)
    del dropped
    gc.collect()
    clock.until_waiting()
    clock.advance(BEAT)
    running.wait(1)
    assert [] == renewed


def test_a_slow_renewal_keeps_no_other_waiting(heartbeat, clock):
    """Those that are due together are renewed together."""
    barrier = threading.Barrier(3)

    class Slow(Claim):
        def renew(self) -> None:
            barrier.wait(60)  # each of them waits for the others
            super().renew()

    claims = [Slow(clock) for _ in range(3)]
    for claim in claims:
        heartbeat.add(claim)
    clock.until_waiting()
    clock.advance(BEAT)
    for claim in claims:
        claim.wait(1)


def test_a_call_aside_is_made_when_it_is_due(heartbeat, clock):
    """Also if nothing is renewed."""
    made, later = threading.Event(), threading.Event()
    heartbeat.aside(later.set, BEAT)
    clock.until_waiting()  # for what is due much later
    heartbeat.aside(made.set)
    assert made.wait(60)
    clock.until_waiting()
    assert not later.is_set()
    clock.advance(BEAT)
    assert later.wait(60)


def test_the_thread_ends_when_there_is_nothing_to_do(heartbeat, clock):
    """And another one starts with the next claim."""
    before = set(threading.enumerate())
    ended = Claim(clock)
    heartbeat.add(ended)
    heartbeat.remove(ended)
    clock.until_waiting()
    clock.advance(IDLE)
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert 0 == clock.waiting
    claim = Claim(clock)
    heartbeat.add(claim)
    clock.until_waiting()
    clock.advance(BEAT)
    claim.wait(1)


def test_where_no_thread_can_be_started_the_next_claim_tries_again(heartbeat, clock, monkeypatch, caplog):
    """The run goes on: its claim may lapse."""
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", lambda thread: (_ for _ in ()).throw(RuntimeError("can't start")))
        first = Claim(clock)
        heartbeat.add(first)
    assert "can't start" in caplog.text
    second = Claim(clock)
    heartbeat.add(second)
    clock.until_waiting()
    clock.advance(BEAT)
    first.wait(1)
    second.wait(1)


def test_a_renewal_that_raises_ends_no_other(heartbeat, clock, caplog):
    """It is given up, and that is logged."""

    class Broken(Claim):
        def renew(self) -> None:
            raise RuntimeError("out of order")

    broken, sound = Broken(clock), Claim(clock)
    heartbeat.add(broken)
    heartbeat.add(sound)
    for beat in (1, 2):
        clock.until_waiting()
        clock.advance(BEAT)
        sound.wait(beat)
    assert 1 == caplog.text.count("RuntimeError: out of order")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_renews_nothing_of_its_parents(heartbeat, clock):
    """Its own it does."""
    parents = Claim(clock)
    heartbeat.add(parents)
    clock.until_waiting()
    with heartbeat._changed:
        pass  # its thread has let go of the lock, which the child's clock takes
    child = os.fork()
    if child == 0:
        try:
            childs = Claim(clock)
            heartbeat.add(childs)
            clock.until_waiting(2)  # in its copy of the clock the parent's thread still waits
            clock.advance(BEAT)
            childs.wait(1)
            os._exit(len(parents.renewed))
        except BaseException:
            os._exit(99)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
