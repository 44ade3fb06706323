"""What one process has open of a file."""

from datetime import timedelta

import pytest

from cloudq.core.driver import Ack, Release
from cloudq.testing.clock import FakeClock

SECOND = timedelta(seconds=1)


@pytest.fixture
def looks(driver, monkeypatch):
    """How often a receive looked before it asked for the write lock."""
    seen = []
    database = driver._session.database
    read = database.read
    monkeypatch.setattr(database, "read", lambda work: (seen.append(work), read(work))[1])
    driver._session._next_look["q"] = timedelta(days=1)  # for what is seldom there, which isn't what is counted here
    return seen


def test_a_queue_that_gave_all_that_was_asked_for_is_not_looked_at_first(bench, driver, looks):
    """There is likely to be more; the first receive that gets less looks again before the next."""
    bench.send(driver, *"abc")
    counts = []
    for _ in range(5):
        bench.receive(driver, limit=2)
        counts.append(len(looks))
    assert [1, 1, 2, 3, 4] == counts


def test_a_lease_that_ended_is_found_without_a_look(bench, driver, looks):
    """Where a receive goes straight to the write lock, it sees to ended leases as well."""
    bench.send(driver, "a", "b")
    bench.receive(driver, limit=1, lease=SECOND)
    bench.clock.advance(SECOND)
    assert ["b", "a"] == [one.id for _ in range(2) for one in bench.receive(driver, limit=1)]
    assert 1 == len(looks)


@pytest.mark.parametrize("behind", [timedelta(seconds=2), timedelta(hours=1), timedelta(days=400)])
@pytest.mark.parametrize("queue", ["q", "q.fifo"])
def test_what_was_not_delayed_is_ready_whatever_the_wall_clock_says(bench, driver, queue, behind):
    """A worker whose clock is behind the producer's receives what was sent without a delay, and counts it as ready."""
    key = "k" if queue.endswith(".fifo") else None
    bench.send(driver, "a", "b", queue=queue, ordering_key=key)
    bench.clock.step(-behind)
    assert 2 == driver.stats(queue).ready
    assert 0 == driver.stats(queue).delayed
    ids = []
    for _ in range(2):
        bench.clock.advance(SECOND)
        (one,) = bench.receive(driver, queue, limit=1)
        ids.append(one.id)
        assert [None] == bench.settle(driver, Ack(), one)
    assert ["a", "b"] == ids


def test_another_process_with_a_clock_that_is_behind_receives_too(bench, driver):
    """The same where only the worker's clock is behind, and was so from its start."""
    bench.send(driver, "a")
    worker = bench.open(clock=FakeClock(bench.clock.now() - timedelta(hours=1)))
    assert ["a"] == [one.id for one in bench.receive(worker)]


def test_what_was_given_back_or_came_back_is_ready_whatever_the_wall_clock_says(bench, driver):
    """A release without a delay, and the end of a lease."""
    bench.send(driver, "released", "left")
    first, second = bench.receive(driver, lease=3 * SECOND)
    assert ["released", "left"] == [first.id, second.id]
    assert [None] == bench.settle(driver, Release(), first)
    bench.clock.step(-timedelta(hours=1))
    bench.clock.advance(SECOND)
    assert ["released"] == [one.id for one in bench.receive(driver)]
    bench.clock.advance(2 * SECOND)
    assert 1 == driver.stats("q").ready
    bench.clock.step(-timedelta(hours=1))
    assert ["left"] == [one.id for one in bench.receive(driver)]


def test_what_was_delayed_waits_for_its_due_time(bench, driver):
    """A wall clock that is set back makes nothing due: neither what was sent with a delay nor what was released so."""
    bench.send(driver, "sent", delay=timedelta(hours=2))
    bench.send(driver, "released")
    (one,) = bench.receive(driver)
    assert [None] == bench.settle(driver, Release(delay=timedelta(hours=2)), one)
    bench.clock.step(-timedelta(hours=1))
    for _ in range(3):
        bench.clock.advance(SECOND)
        assert [] == bench.receive(driver)
    assert 2 == driver.stats("q").delayed
    bench.clock.advance(timedelta(hours=3))
    assert {"sent", "released"} == {one.id for one in bench.receive(driver)}
