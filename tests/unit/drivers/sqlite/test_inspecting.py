"""Stats and purge."""

from datetime import timedelta

from cloudq.core.driver import Ack, NativeDeadLetter, QueueStats
from cloudq.core.failure import Failure
from cloudq.drivers.sqlite import inspecting
from cloudq.errors import LeaseLost

SECOND = timedelta(seconds=1)


def test_stats_tell_the_states_apart(bench, driver):
    """Ready, delayed, leased and dead are counted apart; other queues don't count; the age is of the oldest ready."""
    bench.send(driver, "dead", "leased", "expired")
    dead, _, _ = bench.receive(driver, lease=10 * SECOND)
    bench.settle(driver, NativeDeadLetter(failure=Failure(reason="x")), dead)
    bench.clock.advance(10 * SECOND)
    bench.receive(driver, limit=1)
    bench.send(driver, "new")
    bench.send(driver, "delayed", delay=SECOND * 60)
    bench.send(driver, "elsewhere", queue="other")
    bench.clock.advance(3 * SECOND)
    expected = QueueStats(ready=2, delayed=1, in_flight=1, dead=1, oldest_age=3 * SECOND)
    assert expected == driver.stats("q")


def test_stats_of_a_missing_queue_are_zero(driver):
    """A queue that nothing was sent to is empty."""
    assert QueueStats(ready=0, delayed=0, in_flight=0, dead=0, oldest_age=None) == driver.stats("missing")


def test_those_behind_another_count_as_ready(bench, driver):
    """Messages that wait for an earlier one of their key are ready, and their age counts from when they were sent."""
    bench.send(driver, "a1", "a2", "a3", queue="q.fifo", ordering_key="a")
    bench.clock.advance(5 * SECOND)
    bench.receive(driver, "q.fifo")
    expected = QueueStats(ready=2, delayed=0, in_flight=1, dead=0, oldest_age=5 * SECOND)
    assert expected == driver.stats("q.fifo")


def test_a_purge_takes_all_but_dead_letters(bench, driver):
    """Ready, delayed and leased messages of the queue go; dead letters and other queues stay."""
    bench.send(driver, "dead")
    bench.settle(driver, NativeDeadLetter(failure=Failure(reason="x")), *bench.receive(driver))
    bench.send(driver, "leased", "ready")
    (leased,) = bench.receive(driver, limit=1)
    bench.send(driver, "delayed", delay=SECOND)
    bench.send(driver, "elsewhere", queue="other")
    assert 3 == driver.purge("q")
    assert QueueStats(ready=0, delayed=0, in_flight=0, dead=1, oldest_age=None) == driver.stats("q")
    assert 1 == driver.stats("other").ready
    assert [LeaseLost] == [type(error) for error in bench.settle(driver, Ack(), leased)]


def test_a_purge_works_in_portions(bench, driver, monkeypatch):
    """A queue of more messages than a portion is emptied all the same."""
    monkeypatch.setattr(inspecting, "PURGE_PORTION", 3)
    bench.send(driver, *"abcdefgh")
    assert 8 == driver.purge("q")
    assert 0 == driver.stats("q").ready


def test_what_is_sent_during_a_purge_of_an_ordered_queue_is_not_stuck(bench, driver):
    """A message behind one that a purge deletes is receivable once that is gone."""
    bench.send(driver, "a1", "a2", queue="q.fifo", ordering_key="a")
    database = driver._session.database
    last = database.read(inspecting.last_seq)
    bench.send(driver, "a3", queue="q.fifo", ordering_key="a")
    assert 2 == database.write(lambda cursor: inspecting.purge_portion(cursor, "q.fifo", last), durable=True)
    assert ["a3"] == [one.id for one in bench.receive(driver, "q.fifo")]


def test_a_purge_gives_nobody_what_is_leased(bench, driver, monkeypatch):
    """While those behind a leased message are being deleted, its lease stays as it is."""
    monkeypatch.setattr(inspecting, "PURGE_PORTION", 1)
    bench.send(driver, "a1", "a2", queue="q.fifo", ordering_key="a")
    bench.receive(driver, "q.fifo")
    write = driver._session.database.write
    assert 1 == write(lambda cursor: inspecting.purge_portion(cursor, "q.fifo", 99), durable=True)
    assert [("a1",)] == bench.query("SELECT id FROM message")
    assert [] == bench.receive(driver, "q.fifo")
