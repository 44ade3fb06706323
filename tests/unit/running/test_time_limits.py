"""Time limits: raised in the block that runs too long, and nowhere else."""

from __future__ import annotations

import faulthandler
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

import cloudq
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.driver import Outgoing, SendResult
from cloudq.core.shield import interrupter, shielded
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import TimeLimitExceeded
from cloudq.running import time_limits
from cloudq.running.alarm_time_limit import AlarmTimeLimit
from cloudq.running.time_limits import ThreadTimeLimits
from cloudq.testing.clock import FakeClock
from tests.unit.worker.fakes import NoThreads, until

SOON = timedelta(milliseconds=30)
FAR = timedelta(hours=1)


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def pass_time(clock: FakeClock, span: timedelta) -> None:
    clock.until_waiting()
    clock.advance(span)


@pytest.fixture
def limits() -> ThreadTimeLimits:
    return ThreadTimeLimits(SYSTEM_CLOCK)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def fake(clock: FakeClock) -> Iterator[ThreadTimeLimits]:
    """For blocks that must have got somewhere by then, or be over: however slow the machine is."""
    limits = ThreadTimeLimits(clock)
    yield limits
    limits.close()


def test_a_block_that_runs_too_long_is_interrupted(fake: ThreadTimeLimits, clock: FakeClock) -> None:
    """The error is raised inside the block, and says what the limit was."""
    began = time.monotonic()
    inside: list[bool] = []

    def handler() -> None:
        try:
            pass_time(clock, SOON)
            spin(60)
        except TimeLimitExceeded:
            inside.append(True)
            raise

    with pytest.raises(TimeLimitExceeded, match=r"time limit of 0:00:00\.03"), fake(SOON):
        handler()
    assert [True] == inside
    assert time.monotonic() - began < 30


def test_a_block_in_time_is_left_alone(fake: ThreadTimeLimits, clock: FakeClock) -> None:
    """Nothing is raised in or after a block that ends in time."""
    with fake(SOON):
        pass
    pass_time(clock, SOON)
    spin(0.1)


def test_a_handler_may_tidy_up_and_end_well(fake: ThreadTimeLimits, clock: FakeClock) -> None:
    """A handler that catches the error and returns has ended well."""
    tidied = False
    with fake(SOON):
        try:
            pass_time(clock, SOON)
            spin(60)
        except TimeLimitExceeded:
            tidied = True
    assert tidied


def test_other_errors_pass(limits: ThreadTimeLimits) -> None:
    """What a block raises by itself stays what it is."""
    with pytest.raises(KeyError), limits(FAR):
        raise KeyError("x")


def test_blocks_that_ended_are_not_kept(limits: ThreadTimeLimits) -> None:
    """A million short tasks with a long limit don't pile up."""
    for _ in range(10 * time_limits.TIDY_AT):
        with limits(FAR):
            pass
    assert len(limits._watched) <= time_limits.TIDY_AT + 1


@pytest.mark.slow
def test_the_error_never_arrives_behind_the_block(limits: ThreadTimeLimits) -> None:
    """Blocks that end just as their time ends: the error comes inside or not at all. 4 threads, 3,000 races."""
    outside: list[str] = []
    inside = 0
    lock = threading.Lock()

    def race(seed: int) -> None:
        nonlocal inside
        rng = random.Random(seed)
        caught = 0
        for _ in range(750):
            try:
                try:
                    with limits(timedelta(microseconds=300)):
                        spin(rng.uniform(0.0, 0.0006))
                except TimeLimitExceeded:
                    caught += 1
                for _step in range(50):
                    pass
            except TimeLimitExceeded as error:
                outside.append(repr(error))
        with lock:
            inside += caught

    threads = [threading.Thread(target=race, args=(seed,)) for seed in range(4)]
    # Threads take turns every 5 ms by default, so the watching thread would always come too late for a race.
    turns = sys.getswitchinterval()
    sys.setswitchinterval(0.00005)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(turns)
    assert [] == outside
    assert 0 < inside < 3000


def test_what_was_fired_and_has_not_arrived_is_taken_back(
    limits: ThreadTimeLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that ends while the error is on its way takes it back; one that was not fired at does not."""
    raised: list[object] = []
    monkeypatch.setattr(time_limits, "_raise_in", lambda thread, kind: raised.append(kind))
    in_time = limits(FAR)
    with in_time:
        pass
    assert [] == raised
    fired = limits(FAR)
    assert isinstance(fired, time_limits._Guard)
    with fired, limits.lock:
        fired.fire()
    assert raised[:2] == [time_limits._Expired, None]


def test_after_what_was_taken_back_a_traced_function_begins(limits: ThreadTimeLimits) -> None:
    """CPython 3.11 goes on looking for an error that was taken back, and a traced function doesn't begin meanwhile."""
    seen: list[str] = []

    def traced() -> None:
        pass

    def trace(frame: Any, kind: str, argument: object) -> Any:
        seen.append(frame.f_code.co_name)

    fired = limits(FAR)
    assert isinstance(fired, time_limits._Guard)
    with suppress(TimeLimitExceeded), fired:
        with limits.lock:
            fired.fire()
        spin(10)
    before = sys.gettrace()
    faulthandler.dump_traceback_later(60, exit=True)  # no signal's handler would begin either
    sys.settrace(trace)
    try:
        traced()
    finally:
        sys.settrace(before)
        faulthandler.cancel_dump_traceback_later()
    assert "traced" in seen


class Limited:
    """A limiter of either kind, in whose blocks the time passes when the test says so."""

    def __init__(self, kind: int) -> None:
        self._clock = FakeClock()
        self._before = signal.getsignal(signal.SIGALRM)
        self.limits = AlarmTimeLimit() if kind else ThreadTimeLimits(self._clock)

    def pass_time(self) -> None:
        """Has the limit of the block that this thread is in pass. Ends once it is kept for the end of the shield."""
        guard: Any = interrupter()
        if isinstance(self.limits, AlarmTimeLimit):
            self.limits._ends = 0.0
            signal.setitimer(signal.ITIMER_REAL, 0.001)
        # Again and again, or the watching thread may miss it between its look at the time and its wait.
        until(lambda: guard._kept or self._clock.advance(FAR))

    def close(self) -> None:
        signal.signal(signal.SIGALRM, self._before)
        if isinstance(self.limits, ThreadTimeLimits):
            self.limits.close()


@pytest.fixture(params=[0, 1], ids=["thread", "alarm"])
def limited(request: pytest.FixtureRequest) -> Iterator[Limited]:
    limited = Limited(request.param)
    yield limited
    limited.close()


def test_a_shielded_function_runs_to_its_end_first(limited: Limited) -> None:
    """A limit that passes in a shielded function is raised at its end, once; tidying up is left alone."""
    done: list[str] = []
    caught = 0

    @shielded
    def cannot_be_cut() -> None:
        limited.pass_time()
        done.append("work")

    @shielded
    def tidy_up() -> None:
        done.append("tidying")

    with limited.limits(FAR):
        try:
            cannot_be_cut()
        except TimeLimitExceeded:
            caught += 1
        tidy_up()
        spin(0.05)
    assert (1, ["work", "tidying"]) == (caught, done)


def test_nested_shields_end_together(limited: Limited) -> None:
    """Only the end of the outermost shielded function raises what was kept."""
    done: list[str] = []

    @shielded
    def inner() -> None:
        limited.pass_time()
        done.append("inner")

    @shielded
    def outer() -> None:
        inner()
        done.append("outer")

    with pytest.raises(TimeLimitExceeded), limited.limits(FAR):
        outer()
    assert ["inner", "outer"] == done


class SlowDriver(MemoryDriver):
    """Has the time limit of the thread that sends pass in each send, before it stores."""

    def __init__(self, limited: Limited) -> None:
        super().__init__()
        self._limited = limited

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        self._limited.pass_time()
        return super().send(outgoing)


def test_a_send_is_not_cut_in_two(limited: Limited) -> None:
    """A limit that passes while a handler sends is raised when the message is stored and every lock is free."""
    app, driver = cloudq.App("memory://"), SlowDriver(limited)
    with app.using(driver):
        with pytest.raises(TimeLimitExceeded), limited.limits(FAR):
            app.send("task", {"number": 1})
        assert 1 == app.queue("default").stats().ready
        with pytest.raises(TimeLimitExceeded), limited.limits(FAR):
            app.send_many([app.task("task")(take).call(number=2)])
        assert 2 == app.queue("default").stats().ready


def take(number: int) -> None:
    """The task's parameters."""


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_clock_that_is_set_changes_no_limit(step: timedelta) -> None:
    """A limit is a span: setting the clock forward doesn't end it, setting it back doesn't prolong it."""
    clock = FakeClock()
    limits = ThreadTimeLimits(clock)
    with limits(timedelta(seconds=60)):
        clock.until_waiting(1)
        clock.step(step)
        clock.advance(timedelta(seconds=59))
        spin(0.05)

    def handler() -> None:
        clock.until_waiting(1)
        clock.step(step)
        clock.advance(timedelta(seconds=60))
        spin(10)

    with pytest.raises(TimeLimitExceeded), limits(timedelta(seconds=60)):
        handler()
    limits.close()


def test_without_a_thread_to_watch_the_task_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no thread to give costs no task an attempt; limits hold again as soon as it has one."""
    limits = ThreadTimeLimits(SYSTEM_CLOCK)
    machine = NoThreads(monkeypatch)
    with limits(FAR):
        assert 1 == machine.tries
    machine.exhausted = False
    with pytest.raises(TimeLimitExceeded), limits(SOON):
        spin(60)
    limits.close()
