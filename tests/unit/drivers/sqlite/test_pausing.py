"""Pauses in the file: who sees them, and when."""

from datetime import timedelta

import pytest

from cloudq.core.driver import Ack
from cloudq.errors import QueuePaused

SECOND = timedelta(seconds=1)


def test_another_process_sees_a_pause_within_a_second(bench, driver):
    """And its end; what it was handed before it settles as ever."""
    other = bench.open()
    bench.send(driver, "a", "b")
    [held] = bench.receive(other, limit=1)
    assert driver.pause("q")
    bench.clock.advance(SECOND)
    with pytest.raises(QueuePaused, match="queue 'q' is paused"):
        bench.receive(other)
    assert [None] == bench.settle(other, Ack(), held)
    assert driver.resume("q")
    bench.clock.advance(SECOND)
    assert ["b"] == [one.id for one in bench.receive(other)]


def test_a_pause_outlives_the_process(bench):
    """Whoever opens the file next finds it."""
    first = bench.open()
    bench.send(first, "a")
    first.pause("q")
    first.close()
    late = bench.open()
    assert late.is_paused("q")
    with pytest.raises(QueuePaused):
        bench.receive(late)


def test_a_receive_that_waits_ends_with_the_pause(bench, driver):
    """It doesn't wait for its whole time."""
    waiting = bench.start(lambda: driver.receive("q", limit=1, wait=timedelta(days=1), lease=SECOND))
    while not driver._session.waiters._waiting:
        pass
    driver.pause("q")
    with pytest.raises(QueuePaused):
        waiting.join()
