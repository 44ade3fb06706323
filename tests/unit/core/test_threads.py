"""The one thread pool: jobs run on its threads, now or later, whatever they raise and however few threads there are."""

from __future__ import annotations

import ctypes
import logging
import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from cloudq.core.threads import Threads
from cloudq.testing.clock import FakeClock
from tests.unit.worker.fakes import NoThreads, until

PATIENCE = 60.0
A_SECOND = timedelta(seconds=1)


class Unprintable(Exception):
    """Neither its text nor its notes can be had."""

    def __str__(self) -> str:
        raise SystemExit

    @property
    def __notes__(self) -> list[str]:
        raise SystemExit


class BrokenFilter(logging.Filter):
    """As an app's may be that expects its own fields in every record."""

    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.tenant)  # type: ignore[attr-defined]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def broken_filter() -> Iterator[None]:
    logger, broken = logging.getLogger("cloudq"), BrokenFilter()
    logger.addFilter(broken)
    yield
    logger.removeFilter(broken)


def alive(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


def test_a_job_runs_on_another_thread(clock: FakeClock) -> None:
    """A job never runs in the thread that submits it."""
    threads = Threads("cloudq-test", 1, clock=clock)
    names: list[str] = []
    assert threads.submit(lambda: names.append(threading.current_thread().name))
    until(lambda: names == ["cloudq-test-1"])
    threads.close()


def test_no_thread_is_started_before_the_first_job(clock: FakeClock) -> None:
    """A pool that nobody uses costs nothing; one with an idle thread starts no second one."""
    threads = Threads("cloudq-lazy", 4, clock=clock)
    assert not alive("cloudq-lazy")
    for _ in range(3):
        ran = threading.Event()
        threads.submit(ran.set)
        assert ran.wait(PATIENCE)
        clock.until_waiting(1)
    assert 1 == len(alive("cloudq-lazy"))
    threads.close()


def test_a_bound_below_one_is_refused() -> None:
    """A pool without threads would run nothing."""
    with pytest.raises(ValueError, match="at least 1"):
        Threads("cloudq-test", 0)


def test_a_delayed_job_waits_for_its_time(clock: FakeClock) -> None:
    """A delayed job runs when its time has come, after those that are due earlier."""
    threads = Threads("cloudq-test", 1, clock=clock)
    ran: list[int] = []
    threads.submit(lambda: ran.append(2), delay=2 * A_SECOND)
    threads.submit(lambda: ran.append(1), delay=A_SECOND)
    threads.submit(lambda: ran.append(0))
    until(lambda: ran == [0])
    clock.until_waiting(1)
    clock.advance(2 * A_SECOND)
    until(lambda: ran == [0, 1, 2])
    threads.close()


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_clock_that_is_set_changes_no_delay(clock: FakeClock, step: timedelta) -> None:
    """A delay is a span: setting the clock forward doesn't end it, setting it back doesn't prolong it."""
    threads = Threads("cloudq-test", 1, clock=clock)
    ran = threading.Event()
    threads.submit(ran.set, delay=A_SECOND)
    clock.until_waiting(1)
    clock.step(step)
    clock.advance(A_SECOND / 2)
    clock.until_waiting(1)
    assert not ran.is_set()
    clock.advance(A_SECOND / 2)
    assert ran.wait(PATIENCE)
    threads.close()


def test_a_machine_that_slept_is_noticed(clock: FakeClock) -> None:
    """The time for which the machine was suspended counts towards a delay, a second after it woke at the latest."""
    threads = Threads("cloudq-test", 1, clock=clock)
    ran = threading.Event()
    threads.submit(ran.set, delay=timedelta(hours=1))
    clock.until_waiting(1)
    clock.suspend(timedelta(hours=1))
    clock.advance(A_SECOND)
    assert ran.wait(PATIENCE)
    threads.close()


def test_a_job_that_hangs_delays_no_other(clock: FakeClock) -> None:
    """A second thread is started when the first is busy, also for a job whose time comes only then."""
    threads = Threads("cloudq-test", 2, clock=clock)
    gate, ran = threading.Event(), threading.Event()
    threads.submit(ran.set, delay=A_SECOND)
    clock.until_waiting(1)
    threads.submit(lambda: gate.wait(PATIENCE))
    until(lambda: not threads._jobs or threads._jobs[0].due > clock.elapsed(), what="the hanging job is taken")
    clock.until_waiting(1)
    clock.advance(A_SECOND)
    assert ran.wait(PATIENCE)
    gate.set()
    threads.close()


def test_no_thread_is_started_for_a_job_that_another_one_comes_for(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that has been started and hasn't begun is free, and nothing is refused for one that isn't needed."""
    started: list[threading.Thread] = []
    start, release, ran = threading.Thread.start, threading.Event(), threading.Semaphore(0)

    def note(thread: threading.Thread) -> None:
        started.append(thread)
        start(thread)

    def job() -> None:
        ran.release()
        release.wait(PATIENCE)

    monkeypatch.setattr(threading.Thread, "start", note)
    threads = Threads("cloudq-test-coming", 3, clock=clock)
    with threads._changed:  # neither of them begins before both are started
        assert threads.start(job)
        assert threads.start(job)
    assert all(ran.acquire(timeout=PATIENCE) for _ in range(2))
    assert 2 == len(started)
    release.set()
    threads.close()


def test_never_more_threads_than_the_bound(clock: FakeClock) -> None:
    """The jobs beyond it wait, and run in their order."""
    threads = Threads("cloudq-bound", 2, clock=clock)
    gate = threading.Event()
    ran: list[int] = []
    for _ in range(2):
        threads.submit(lambda: gate.wait(PATIENCE))
    for number in range(5):
        threads.submit(lambda number=number: ran.append(number))  # type: ignore[misc]
    assert 2 == len(alive("cloudq-bound"))
    gate.set()
    until(lambda: 5 == len(ran))
    assert 2 == len(alive("cloudq-bound"))
    threads.close()


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(1), KeyboardInterrupt(), GeneratorExit(), Unprintable()])
def test_whatever_a_job_raises_its_thread_lives_on(clock: FakeClock, error: BaseException) -> None:
    """A job's exception, SystemExit and those that can't be printed among them, ends no thread."""
    threads = Threads("cloudq-test", 1, clock=clock)

    def fail() -> None:
        raise error

    used: list[threading.Thread] = []
    threads.submit(lambda: used.append(threading.current_thread()))
    threads.submit(fail)
    threads.submit(lambda: used.append(threading.current_thread()))
    until(lambda: 2 == len(used))
    assert used[0] is used[1]
    threads.close()


def test_a_job_that_fails_is_logged(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    """A slip in a job is logged with its traceback."""
    threads = Threads("cloudq-test", 1, clock=clock)
    ran = threading.Event()
    threads.submit(lambda: int("x"))
    threads.submit(ran.set)
    assert ran.wait(PATIENCE)
    assert "ValueError" in caplog.text
    threads.close()


@pytest.mark.usefixtures("broken_filter")
def test_a_logging_filter_that_raises_ends_no_thread(clock: FakeClock, capfd: pytest.CaptureFixture[str]) -> None:
    """What the app's logging raises while a failed job is logged is told on stderr."""
    threads = Threads("cloudq-test", 1, clock=clock)
    used: list[threading.Thread] = []
    threads.submit(lambda: int("x"))
    threads.submit(lambda: used.append(threading.current_thread()))
    until(lambda: used)
    assert "cloudq: logging raised AttributeError; the line was cloudq: a job of %s failed" in capfd.readouterr().err
    threads.submit(lambda: used.append(threading.current_thread()))
    until(lambda: 2 == len(used))
    assert used[0] is used[1]
    threads.close()


def test_without_any_thread_a_job_waits_for_one(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`submit` tells that nobody will run it; the next one that can start a thread has it run, too. Logged once."""
    machine = NoThreads(monkeypatch)
    threads = Threads("cloudq-test", 2, clock=clock)
    ran: list[int] = []
    assert not threads.submit(lambda: ran.append(1))
    assert not threads.submit(lambda: ran.append(2))
    assert threads.starved
    assert 2 == machine.tries
    assert 1 == caplog.text.count("no thread can be started for cloudq-test: can't start new thread")
    machine.exhausted = False
    assert threads.submit(lambda: ran.append(3))
    until(lambda: [1, 2, 3] == ran)
    assert not threads.starved
    threads.close()


def test_catch_up_starts_the_thread_that_could_not_be_had(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a thread doesn't wait for another job: whoever looks after the pool has it tried again."""
    machine = NoThreads(monkeypatch)
    threads = Threads("cloudq-test", 1, clock=clock)
    ran = threading.Event()
    threads.submit(ran.set)
    assert not threads.catch_up()
    machine.exhausted = False
    assert threads.catch_up()
    assert ran.wait(PATIENCE)
    assert threads.catch_up()
    threads.close()


def test_a_thread_that_lives_runs_what_no_second_one_can_be_had_for(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no second thread can be started, the first does all; it isn't counted twice either."""
    threads = Threads("cloudq-test", 2, clock=clock)
    busy, gate, ran = threading.Event(), threading.Event(), threading.Event()
    threads.submit(lambda: (busy.set(), gate.wait(PATIENCE)))
    assert busy.wait(PATIENCE)
    machine = NoThreads(monkeypatch)
    assert threads.submit(ran.set)
    assert 1 == machine.tries
    assert not threads.starved
    gate.set()
    assert ran.wait(PATIENCE)
    machine.exhausted = False
    gates = [threading.Barrier(3, timeout=PATIENCE)] * 2
    for barrier in gates:
        threads.submit(barrier.wait)
    gates[0].wait()  # both run at once, so the thread that couldn't start takes no place
    threads.close()


def test_what_nobody_runs_can_be_taken_back(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that was withdrawn doesn't run later; one that runs can't be withdrawn."""
    machine = NoThreads(monkeypatch)
    threads = Threads("cloudq-test", 1, clock=clock)
    ran: list[str] = []

    def job() -> None:
        ran.append("withdrawn")

    threads.submit(job)
    assert threads.withdraw(job)
    assert not threads.withdraw(job)
    machine.exhausted = False
    threads.submit(lambda: ran.append("other"))
    until(lambda: ["other"] == ran)
    threads.close()


def test_start_runs_a_job_at_once_or_not_at_all(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """For jobs that nobody else's end can make room for: they last as long as their pool, say."""
    threads = Threads("cloudq-test", 2, clock=clock)
    busy, gate, ran = threading.Event(), threading.Event(), threading.Event()
    assert threads.start(lambda: (busy.set(), gate.wait(PATIENCE)))
    assert busy.wait(PATIENCE)
    with monkeypatch.context() as patch:
        NoThreads(patch)
        assert not threads.start(ran.set)  # though the busy one would run it later
    assert threads.start(lambda: gate.wait(PATIENCE))
    assert not threads.start(ran.set)  # the bound
    gate.set()
    clock.until_waiting(2)
    assert not ran.is_set()
    assert threads.start(ran.set)
    assert ran.wait(PATIENCE)
    threads.close()
    assert not threads.start(ran.clear)


def test_an_idle_thread_ends_after_its_time(clock: FakeClock) -> None:
    """With an idle time, threads that have nothing to do go, and come again with the next job."""
    threads = Threads("cloudq-idle", 1, clock=clock, idle=5 * A_SECOND)
    for _ in range(2):
        ran = threading.Event()
        threads.submit(ran.set)
        assert ran.wait(PATIENCE)
        clock.until_waiting(1)
        clock.advance(4 * A_SECOND)
        clock.until_waiting(1)
        assert alive("cloudq-idle")
        clock.advance(A_SECOND)
        until(lambda: not alive("cloudq-idle"))


def test_close_ends_the_threads(clock: FakeClock) -> None:
    """After close the threads end; jobs that weren't due are dropped, and later ones refused."""
    threads = Threads("cloudq-gone", 1, clock=clock)
    ran: list[int] = []
    threads.submit(lambda: ran.append(1), delay=A_SECOND)
    clock.until_waiting(1)
    threads.close()
    until(lambda: not alive("cloudq-gone"))
    assert not threads.submit(lambda: ran.append(2))
    assert [] == ran


def test_close_lets_what_is_due_run(clock: FakeClock) -> None:
    """A job that waits only for a free thread is still run."""
    threads = Threads("cloudq-gone", 1, clock=clock)
    gate, ran = threading.Event(), threading.Event()
    threads.submit(lambda: gate.wait(PATIENCE))
    threads.submit(ran.set)
    threads.close()
    gate.set()
    assert ran.wait(PATIENCE)
    until(lambda: not alive("cloudq-gone"))


def test_after_a_fork_the_child_has_a_pool_of_its_own(clock: FakeClock) -> None:
    """A child neither waits for threads that it hasn't inherited nor runs the parent's jobs, whatever held the lock."""
    threads = Threads("cloudq-fork", 1, clock=clock)
    gate = threading.Event()
    ran: list[str] = []
    threads.submit(lambda: gate.wait(PATIENCE))
    threads.submit(lambda: ran.append("the parent's"))
    with threads._changed:  # as if another thread had it just then
        child = os.fork()
        if not child:
            _exit_unless(lambda: threads.submit(lambda: ran.append("the child's")), lambda: ran == ["the child's"])
    assert (child, 0) == os.waitpid(child, 0)
    gate.set()
    until(lambda: ["the parent's"] == ran)
    threads.close()


def test_a_fork_without_pythons_hooks_is_noticed(clock: FakeClock) -> None:
    """uWSGI forks so: the child counts on none of its parent's threads."""
    threads = Threads("cloudq-raw-fork", 1, clock=clock)
    ran: list[str] = []
    threads.submit(lambda: ran.append("the parent's"))
    until(lambda: ["the parent's"] == ran)  # its thread is idle now, and would be counted on
    child = ctypes.PyDLL(None).fork()
    if not child:
        _exit_unless(lambda: threads.submit(lambda: ran.append("the child's")), lambda: ran[1:] == ["the child's"])
    assert (child, 0) == os.waitpid(child, 0)
    threads.close()


def _exit_unless(*conditions: Callable[[], object]) -> None:
    """Ends a forked child: 0 if each holds in time."""
    code = 1
    try:
        for condition in conditions:
            until(condition)
        code = 0
    finally:
        os._exit(code)
