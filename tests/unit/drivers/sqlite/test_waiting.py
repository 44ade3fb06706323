"""Waiting for messages: at once within a process, soon between processes, and never hot."""

import resource
import statistics
import subprocess
import sys
import time
from datetime import timedelta
from threading import Thread

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.driver import Ack, Release
from cloudq.drivers.sqlite.waiting import Waiters
from cloudq.errors import StorageCorrupt
from cloudq.sqlite_file.faults import FileClosed

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


def waiting(bench, driver, queue="q", wait=HOUR):
    """A receive that waits in a thread."""
    thread = bench.start(lambda: [one.id for one in bench.receive(driver, queue, wait=wait)])
    bench.clock.until_waiting()
    return thread


def test_a_send_of_the_same_process_ends_the_wait(bench, driver):
    """A waiting receive gets a message that another thread sends; no time needs to pass."""
    receive = waiting(bench, driver)
    bench.send(driver, "a")
    assert ["a"] == receive.join()


def test_a_send_of_another_process_ends_the_wait(bench, driver):
    """A waiting receive gets a message that another client of the file sends."""
    receive = waiting(bench, driver)
    bench.send(bench.open(), "a")
    assert ["a"] == receive.join()


def test_a_release_ends_the_wait(bench, driver):
    """A waiting receive gets what another thread gives back."""
    bench.send(driver, "a")
    deliveries = bench.receive(driver)
    receive = waiting(bench, driver)
    bench.settle(driver, Release(), *deliveries)
    assert ["a"] == receive.join()


def test_the_end_of_an_earlier_one_ends_the_wait(bench, driver):
    """On an ordered queue a waiting receive gets the next of a key when the one before is acked."""
    bench.send(driver, "a1", "a2", queue="q.fifo", ordering_key="a")
    deliveries = bench.receive(driver, "q.fifo")
    receive = waiting(bench, driver, "q.fifo")
    bench.settle(driver, Ack(), *deliveries)
    assert ["a2"] == receive.join()


@pytest.mark.parametrize("why", ["delay", "lease"])
def test_time_that_comes_ends_the_wait(bench, driver, why):
    """A waiting receive gets a message when its delay, or the lease of its dead holder, is over."""
    bench.send(driver, "a", delay=SECOND if why == "delay" else timedelta(0))
    bench.receive(driver, lease=SECOND)
    thread = bench.start(lambda: [one.id for one in bench.receive(driver, wait=HOUR)])
    while thread.is_alive():
        bench.clock.advance(timedelta(milliseconds=10))
        time.sleep(0.001)  # real time for the thread to look
    assert ["a"] == thread.join()


def test_a_wait_ends_empty(bench, driver):
    """When the time is up and nothing came, a receive returns nothing."""
    thread = bench.start(lambda: bench.receive(driver, wait=SECOND))
    while thread.is_alive():
        bench.clock.advance(timedelta(milliseconds=100))
        time.sleep(0.001)
    assert [] == thread.join()


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_a_clock_that_is_set_changes_no_wait(bench, driver, step):
    """A wait ends when so much time has passed, whatever the wall clock says: not before, and not later."""
    thread = waiting(bench, driver, wait=SECOND)
    bench.clock.step(step)
    bench.clock.advance(SECOND / 2)
    bench.clock.until_waiting()
    assert thread.is_alive()
    while thread.is_alive() and bench.clock.elapsed() < 2 * SECOND:
        if bench.clock.waiting:  # else it is about to look at the clock, or to end
            bench.clock.advance(SECOND / 2)
        thread.join_quietly()
    assert [] == thread.join()
    assert bench.clock.elapsed() < 3 * SECOND


def test_a_machine_that_slept_notices_within_a_second(bench, driver):
    """A suspended machine wakes nobody, so a wait looks at the clock each second: what is due by then comes."""
    bench.send(driver, "a", delay=HOUR)
    thread = waiting(bench, driver, wait=2 * HOUR)
    bench.clock.suspend(HOUR)
    bench.clock.advance(SECOND)
    assert ["a"] == thread.join()


def test_a_clock_that_is_set_forward_makes_what_is_due_by_it_ready(bench, driver):
    """A due time is the wall clock's: a waiting receive finds what came due by a step within a second."""
    bench.send(driver, "a", delay=HOUR)
    thread = waiting(bench, driver, wait=2 * HOUR)
    bench.clock.step(HOUR)
    bench.clock.advance(SECOND)
    assert ["a"] == thread.join()


class NoThread(Thread):
    def start(self):
        raise RuntimeError("can't start new thread")


def test_without_a_thread_for_the_watcher_each_receive_looks_by_itself(bench, monkeypatch):
    """On a machine that starts no more threads, what another process sends is received all the same."""
    driver = bench.open(clock=SYSTEM_CLOCK)
    monkeypatch.setattr("cloudq.drivers.sqlite.waiting.Thread", NoThread)
    receive = bench.start(lambda: [one.id for one in bench.receive(driver, wait=60 * SECOND)])
    other = bench.open(clock=SYSTEM_CLOCK)
    while not driver._session.waiters._waiting:
        pass
    bench.send(other, "a")
    assert ["a"] == receive.join()


def test_a_handler_that_sends_amid_a_notification_is_heard_of(bench, driver):
    """Who can't notify, as its own thread is at it, leaves it to the watcher."""
    receive = waiting(bench, driver)
    waiters = driver._session.waiters
    waiters._mutex.acquire()
    waiters.notify()
    changes = waiters.changes
    waiters._mutex.free()
    deadline = time.monotonic() + 60
    while waiters.changes == changes:
        assert time.monotonic() < deadline
    driver.interrupt()
    assert [] == receive.join()


@pytest.mark.parametrize("how", ["interrupt", "close"])
def test_waits_are_ended_at_once(bench, driver, how):
    """An interrupt and a close end all receives under way, empty."""
    threads = [bench.start(lambda queue=queue: bench.receive(driver, queue, wait=HOUR)) for queue in "abc"]
    bench.clock.until_waiting(3)
    getattr(driver, how)()
    assert [[], [], []] == [thread.join() for thread in threads]


def test_a_receive_after_an_interrupt_waits_as_usual(bench, driver):
    """An interrupt concerns only what is under way."""
    driver.interrupt()
    receive = waiting(bench, driver)
    bench.send(driver, "a")
    assert ["a"] == receive.join()


def test_a_close_ends_the_watcher(bench, driver):
    """No thread is left behind."""
    receive = waiting(bench, driver)
    watcher = driver._session.waiters._watcher
    driver.close()
    receive.join()
    assert not watcher.is_alive()


def test_nobody_watches_while_nobody_waits(bench, driver):
    """The file is looked at only while a receive waits; what was committed meanwhile is noticed by the next."""
    looks = []
    version = driver._session.waiters._data_version
    driver._session.waiters._data_version = lambda: (looks.append(1), version())[1]
    bench.receive(driver)
    assert [] == looks
    receive = waiting(bench, driver)
    driver.interrupt()
    receive.join()
    while len(driver._session.waiters._condition._waiters) != 1:
        time.sleep(0.001)  # the look that may be under way
    before = len(looks)
    time.sleep(0.2)  # long enough for several
    assert before == len(looks)
    other = bench.open()
    bench.send(other, "a")
    assert ["a"] == [one.id for one in bench.receive(driver, wait=HOUR)]
    receive = waiting(bench, driver)
    bench.send(other, "b")
    assert ["b"] == receive.join()


def test_a_database_in_trouble_does_not_end_the_watcher(bench):
    """When the look fails the receives are woken, to meet the error themselves; once closed, the watcher ends."""
    answers = iter([StorageCorrupt("damaged"), FileClosed("closed")])

    def data_version():
        raise next(answers)

    waiters = Waiters(data_version, bench.clock)
    waiters._closing.wait = lambda seconds: None  # the pause between two looks
    assert waiters.wait(changes=0, interrupts=0, timeout=HOUR)
    assert 1 == waiters.changes
    thread = bench.start(lambda: waiters.wait(changes=1, interrupts=0, timeout=HOUR))
    waiters._watcher.join(60)
    assert not waiters._watcher.is_alive()
    waiters.close()
    thread.join()


@pytest.mark.slow
def test_an_idle_worker_wakes_some_thirty_times_a_second(bench):
    """With four queues waiting: 25 looks of the watcher, and a look at the clock a second for each receive.

    A wake-up costs up to 300 µs of CPU on a small machine, so this is less than a hundredth of a core; the time itself
    would be another on a busy one.
    """
    driver = bench.open(clock=SYSTEM_CLOCK)
    threads = [
        bench.start(lambda queue=queue: bench.receive(driver, queue, wait=3 * SECOND)) for queue in ("a", "b", "c", "d")
    ]
    time.sleep(0.2)  # let them begin to wait; what follows is counted
    start, wakes = time.monotonic(), _wakes()
    for thread in threads:
        assert [] == thread.join()
    assert (_wakes() - wakes) / (time.monotonic() - start) < 60


@pytest.mark.slow
def test_an_idle_worker_soon_starts_what_another_process_sends(bench):
    """At the median, a waiting receive has a message of another process 20 ms after its send, later if busy."""
    driver = bench.open(clock=SYSTEM_CLOCK)
    script = """
import sys, time
from cloudq.core.driver import Outgoing
from cloudq.drivers.sqlite import SQLiteDriver
driver = SQLiteDriver(sys.argv[1])
for number in range(21):
    time.sleep(0.037)
    while driver.stats("q").ready:  # a pause of who receives makes one late, not all
        time.sleep(0.005)
    driver.send([Outgoing(id=str(number), queue="q", body=repr(time.time()).encode())])
"""
    sender = subprocess.Popen([sys.executable, "-c", script, str(bench.path)])
    latencies = []
    while len(latencies) < 21:
        deliveries = bench.receive(driver, wait=60 * SECOND)
        latencies += [time.time() - float(one.body) for one in deliveries]
        assert deliveries
    assert 0 == sender.wait(60)
    assert statistics.median(latencies) < 0.25, sorted(latencies)


def _wakes():
    """How often a thread of this process went to sleep by itself so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
