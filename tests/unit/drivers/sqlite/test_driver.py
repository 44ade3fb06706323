"""What the driver adds to the statements: results for each item, and one file for its life."""

from datetime import timedelta

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.errors import BackendError, MessageTooLarge


def test_each_item_has_its_own_result_in_its_place(bench, driver):
    """Of a call, what is too large and what is no text have their errors; the others are stored, by one transaction."""
    writes = []
    database = driver._session.database
    write = database.write
    database.write = lambda work, **how: (writes.append(work), write(work, **how))[1]
    items = [
        bench.item("a"),
        bench.item("large", body=bytes(2_000_000)),
        bench.item("\ud800", body=b"x"),
        bench.item("b", native_id="\ud800"),
        bench.item("c"),
    ]
    errors = [type(result.error) for result in driver.send(items)]
    assert [type(None), MessageTooLarge, BackendError, BackendError, type(None)] == errors
    assert 2 == len(writes)  # the one that fails, and the one without what made it fail
    assert ["a", "c"] == [one.id for one in bench.receive(driver)]


def test_nothing_asked_for_is_nothing_done(driver):
    """An empty call is allowed, and takes no lock."""
    driver.close()
    assert ([], [], []) == (driver.send([]), driver.settle([]), driver.extend([], timedelta(1)))


@pytest.mark.parametrize(("queue", "ordering"), [("q", False), ("q.fifo", True)])
def test_a_name_says_whether_its_queue_keeps_order(driver, queue, ordering):
    """All else is the same for all queues."""
    assert ordering == driver.capabilities(queue).ordering


def test_without_a_window_native_ids_mean_nothing(tmp_path):
    """Zero is none, and is said so."""
    driver = SQLiteDriver(tmp_path / "q.db", clock=SYSTEM_CLOCK, dedup_window=timedelta(0))
    assert driver.capabilities("q").deduplication is None
    driver.close()
