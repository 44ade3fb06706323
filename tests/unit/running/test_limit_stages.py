"""A time limit in two stages: raised in the task, which may go on, and the end of its run, which it can't."""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.shield import Ended, interrupter, shielded
from cloudq.errors import TimeLimitExceeded
from cloudq.running import alarm_time_limit, time_limits
from cloudq.running.alarm_time_limit import AlarmTimeLimit
from cloudq.running.limit_stages import insist, sooner, warned_after
from cloudq.running.time_limits import ThreadTimeLimits
from cloudq.testing.clock import FakeClock
from tests.unit.worker.fakes import until

SOON = timedelta(milliseconds=30)
MINUTE = timedelta(minutes=1)
FAR = timedelta(hours=1)


def spin(seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@pytest.fixture(params=["thread", "alarm"])
def limits(request: pytest.FixtureRequest) -> Iterator[ThreadTimeLimits | AlarmTimeLimit]:
    """A limiter of either kind."""
    if request.param == "thread":
        limiter = ThreadTimeLimits(SYSTEM_CLOCK)
        yield limiter
        limiter.close()
        return
    before = signal.getsignal(signal.SIGALRM)
    yield AlarmTimeLimit()
    signal.signal(signal.SIGALRM, before)


class Passing:
    """A limiter of either kind, whose time passes when the test says so, however slow the machine is."""

    def __init__(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._clock = FakeClock()
        self.limits: ThreadTimeLimits | AlarmTimeLimit = ThreadTimeLimits(self._clock)
        if kind == "alarm":
            now = SimpleNamespace(monotonic=lambda: self._clock.elapsed().total_seconds())
            monkeypatch.setattr(alarm_time_limit, "time", now)
            self.limits = AlarmTimeLimit()

    def pass_time(self, span: timedelta = MINUTE) -> None:
        if isinstance(self.limits, ThreadTimeLimits):
            self._clock.until_waiting()
        self._clock.advance(span)
        if isinstance(self.limits, AlarmTimeLimit):
            signal.setitimer(signal.ITIMER_REAL, 0.001)


@pytest.fixture(params=["thread", "alarm"])
def passing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Passing]:
    before = signal.getsignal(signal.SIGALRM)
    made = Passing(request.param, monkeypatch)
    yield made
    if isinstance(made.limits, ThreadTimeLimits):
        made.limits.close()
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_task_is_warned_and_then_ended(limits) -> None:
    """The first it may catch; the second isn't caught by who catches whatever goes wrong."""
    seen: list[str] = []

    def handler() -> None:
        insist(FAR)
        try:
            with warned_after(SOON):
                spin()
        except TimeLimitExceeded as error:
            seen.append(str(error))
        sooner(SOON)  # from here on, or the end of a slow machine's run would come before its warning
        try:
            spin()
        except Exception:
            seen.append("went on")

    exceeded = pytest.raises(TimeLimitExceeded, match=r"ran longer than its time limit of 0:00:00\.03")
    with exceeded, limits(FAR):
        handler()
    assert ["the task ran longer than its soft time limit of 0:00:00.030000"] == seen


def test_what_ends_the_run_is_seen_as_such_within_it(limits) -> None:
    """For those who have to know, such as hooks."""

    def handler() -> None:
        insist(SOON)
        with pytest.raises(Ended, match="ran longer than its time limit"):
            spin()
        raise Ended

    with pytest.raises(TimeLimitExceeded), limits(FAR):
        handler()


def test_a_block_that_is_done_in_time_is_not_warned(passing: Passing) -> None:
    """Nor what comes after it, up to the end of the run."""
    with passing.limits(FAR):
        with warned_after(MINUTE):
            pass
        passing.pass_time()
        spin(0.1)

    def handler() -> None:
        with warned_after(FAR):
            pass
        with warned_after(MINUTE):
            pass
        passing.pass_time(2 * MINUTE)
        spin()

    with pytest.raises(TimeLimitExceeded, match="than its time limit"), passing.limits(2 * MINUTE):
        handler()


def test_a_run_may_be_given_less_time(limits) -> None:
    """As an error like that of its own limit; never more."""

    def handler(less: timedelta) -> None:
        sooner(less)
        spin()

    for own, less in ((FAR, SOON), (SOON, FAR)):
        with pytest.raises(TimeLimitExceeded, match=r"limit of 0:00:00\.03"), limits(own):
            handler(less)


def test_a_run_is_warned_once(passing: Passing) -> None:
    """What it does then isn't disturbed before the end."""
    warned = True
    with passing.limits(FAR):
        with warned_after(MINUTE):
            with suppress(TimeLimitExceeded):
                passing.pass_time()
                spin()
                warned = False
            passing.pass_time()
            spin(0.1)
        passing.pass_time()
        spin(0.1)
    assert warned


def test_without_a_time_limit_nothing_happens() -> None:
    """An edge or a test that keeps none raises none."""
    insist(SOON)
    sooner(SOON)
    with warned_after(SOON):
        spin(0.05)


def kept(guard: Any) -> bool:
    """Whether an error waits for the end of the shield."""
    return bool(guard._kept or getattr(guard.warning, "kept", False)) if hasattr(guard, "warning") else guard._kept


def test_a_warning_waits_for_the_end_of_a_shielded_function(passing: Passing) -> None:
    """Nothing that takes locks is cut in two."""
    done: list[str] = []

    @shielded
    def cannot_be_cut() -> None:
        passing.pass_time()
        until(lambda: kept(interrupter()))
        done.append("work")

    def handler() -> None:
        cannot_be_cut()
        done.append("went on")

    with pytest.raises(TimeLimitExceeded, match="soft time limit"), passing.limits(FAR), warned_after(MINUTE):
        handler()
    assert ["work"] == done


def test_a_warning_on_its_way_is_kept_by_a_shielded_function() -> None:
    """It was raised for the thread and hasn't arrived when the function begins."""
    limits = ThreadTimeLimits(SYSTEM_CLOCK)
    done: list[str] = []

    @shielded
    def cannot_be_cut() -> None:
        done.append("work")

    def handler(guard: Any) -> None:
        guard.warning.fired = True  # as if the interpreter were to raise it at the next step
        cannot_be_cut()

    with limits(FAR):
        guard: Any = interrupter()
        with pytest.raises(TimeLimitExceeded, match="soft"), warned_after(FAR):
            handler(guard)
        assert guard.warning.arrived
    assert ["work"] == done
    limits.close()


def test_a_warning_on_its_way_is_taken_back_at_the_end_of_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """And only then: after an end that is on its way nothing is taken back, else the run would go on."""
    raised: list[object] = []
    monkeypatch.setattr(time_limits, "_raise_in", lambda thread, kind: raised.append(kind))
    limits = ThreadTimeLimits(SYSTEM_CLOCK)
    with limits(FAR):
        guard: Any = interrupter()
        with warned_after(FAR):
            pass
        assert [] == raised
        with warned_after(FAR), limits.lock:
            guard.warning.fire()
        assert [time_limits._Warned, None] == raised[:2]
        raised.clear()
        with warned_after(FAR), limits.lock:
            guard.warning.fire()
            guard.fire()
        assert [time_limits._Warned, time_limits._Expired] == raised
    limits.close()


def test_the_end_takes_the_place_of_a_warning_that_is_kept(limits) -> None:
    """Where both came meanwhile the run ends."""

    @shielded
    def cannot_be_cut() -> None:
        spin(0.15)

    def handler() -> None:
        insist(FAR)
        with suppress(TimeLimitExceeded), warned_after(SOON):
            cannot_be_cut()
        spin()

    with pytest.raises(TimeLimitExceeded, match="than its time limit"), limits(timedelta(milliseconds=60)):
        handler()


@pytest.mark.slow
def test_a_warning_never_arrives_behind_its_block() -> None:
    """Blocks that end just as they are warned: it comes inside or not at all. 4 threads, 3,000 races."""
    limits = ThreadTimeLimits(SYSTEM_CLOCK)
    outside: list[str] = []
    inside = [0] * 4

    def race(seed: int) -> None:
        rng = random.Random(seed)
        for _ in range(750):
            with limits(FAR):
                try:
                    try:
                        with warned_after(timedelta(microseconds=300)):
                            spin(rng.uniform(0.0, 0.0006))
                    except TimeLimitExceeded:
                        inside[seed] += 1
                    for _step in range(50):
                        pass
                except TimeLimitExceeded as error:
                    outside.append(repr(error))

    threads = [threading.Thread(target=race, args=(seed,)) for seed in range(4)]
    turns = sys.getswitchinterval()
    sys.setswitchinterval(0.00005)  # as in the races of the end
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(turns)
        limits.close()
    assert [] == outside
    assert 0 < sum(inside) < 3000
