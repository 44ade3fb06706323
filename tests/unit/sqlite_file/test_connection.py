"""Opening, transactions and closing."""

import gc
from datetime import timedelta

import pytest

from cloudq.core.driver import Ack
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.errors import BackendError
from cloudq.sqlite_file import connection

SECOND = timedelta(seconds=1)


def test_a_relative_path_stays_what_it_was(tmp_path, monkeypatch):
    """A path is resolved at open: changing the folder later changes nothing."""
    monkeypatch.chdir(tmp_path)
    driver = SQLiteDriver("q.db")
    assert f"SQLiteDriver({str(tmp_path.resolve() / 'q.db')!r})" == repr(driver)
    driver.close()


@pytest.mark.parametrize(("mode", "durable", "lasting"), [("full", 2, 2), ("normal", 1, 1)])
def test_sends_and_settlements_are_flushed_to_the_disk(bench, mode, durable, lasting):
    """With `full` a durable transaction waits for the disk, any other doesn't; with `normal` none does."""
    database = bench.open(synchronous=mode)._session.database

    def level(cursor):
        return cursor.execute("PRAGMA synchronous").fetchone()[0]

    seen = [database.write(level, durable=durable) for durable in (True, False, True)]
    assert [durable, 1, lasting] == seen


@pytest.mark.parametrize(("call", "durable"), [("send", True), ("receive", False), ("settle", True), ("extend", False)])
def test_what_must_last_is_durable(bench, driver, monkeypatch, call, durable):
    """Sends and settlements are durable transactions; receives and extensions, which may be undone, are not."""
    bench.send(driver, "a")
    (delivery,) = bench.receive(driver)
    bench.send(driver, "b")
    seen = []
    write = driver._session.database.write
    monkeypatch.setattr(
        driver._session.database,
        "write",
        lambda work, *, durable, **how: (seen.append(durable), write(work, durable=durable, **how))[1],
    )
    calls = {
        "send": lambda: bench.send(driver, "c"),
        "receive": lambda: bench.receive(driver),
        "settle": lambda: bench.settle(driver, Ack(), delivery),
        "extend": lambda: driver.extend([delivery.lease], SECOND),
    }
    calls[call]()
    assert [durable] == seen


def test_an_error_rolls_back_and_the_next_transaction_works(bench, driver):
    """Whatever ends a transaction early, a KeyboardInterrupt too, undoes it and frees the locks."""

    def interrupted(cursor):
        cursor.execute("INSERT INTO dedup VALUES ('q', 'n', 'i', 0)")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        driver._session.database.write(interrupted, durable=True)
    assert [] == bench.query("SELECT * FROM dedup")
    bench.send(driver, "a")
    bench.send(bench.open(busy_timeout=timedelta(0)), "b")


def test_a_transaction_left_open_is_rolled_back_before_the_next(bench, driver):
    """If a rollback failed, the next transaction makes it good instead of failing for ever."""
    driver._session.database._writer.execute("BEGIN")
    driver._session.database._writer.execute("INSERT INTO dedup VALUES ('q', 'n', 'i', 0)")
    bench.send(driver, "a")
    assert [] == bench.query("SELECT * FROM dedup")


def test_a_closed_driver_takes_nothing_more(bench, driver):
    """After close a receive returns nothing, sends and settlements report an error each, the rest raises it."""
    bench.send(driver, "a")
    deliveries = bench.receive(driver)
    driver.close()
    driver.close()
    assert [] == bench.receive(driver)
    errors = [
        driver.send([bench.item("b")])[0].error,
        bench.settle(driver, Ack(), *deliveries)[0],
        driver.extend([deliveries[0].lease], SECOND)[0].error,
    ]
    assert ["q.db was closed"] * 3 == [str(error).rpartition("/")[2] for error in errors]
    with pytest.raises(BackendError, match="was closed"):
        driver.stats("q")
    assert ["a"] == [row[0] for row in bench.query("SELECT id FROM message")]


def test_the_last_close_leaves_one_file_and_the_lock(bench, driver):
    """The log is put into the database, so that the file alone can be copied."""
    other = bench.open()
    bench.send(driver, "a")
    driver.close()
    assert (bench.folder / "q.db-wal").exists()
    other.close()
    assert ["q.db", "q.db.lock", "q.db.turn"] == sorted(file.name for file in bench.folder.iterdir())


def test_a_driver_that_is_forgotten_is_closed(bench):
    """A driver that nobody holds any more frees its files, without a warning."""
    driver = SQLiteDriver(bench.path)
    driver.receive("q", limit=1, wait=timedelta(milliseconds=1), lease=SECOND)  # its watcher mustn't keep it
    del driver
    gc.collect()
    assert not (bench.folder / "q.db-wal").exists()


@pytest.mark.slow
def test_a_process_that_ends_without_closing_leaves_the_file_closed(bench):
    """At the interpreter's end the database is closed under the write lock."""
    script = """
import sys
from datetime import timedelta
from cloudq.core.driver import Outgoing
from cloudq.drivers.sqlite import SQLiteDriver
driver = SQLiteDriver(sys.argv[1])
assert driver.send([Outgoing(id="a", queue="q", body=b"a")])[0].error is None
driver.receive("empty", limit=1, wait=timedelta(milliseconds=30), lease=timedelta(seconds=1))
"""
    bench.run_script(script)
    assert not (bench.folder / "q.db-wal").exists()
    assert [("a",)] == bench.query("SELECT id FROM message")


def test_a_close_does_not_wait_for_a_stuck_process_for_ever(bench, driver, monkeypatch, caplog):
    """If another process keeps the lock, close goes on without it after a while, and says so."""
    monkeypatch.setattr(connection, "_CLOSE_PATIENCE", timedelta(milliseconds=20))
    other = bench.open()
    other._session.database._lock.acquire()
    driver.close()
    assert "Closing without the write lock" in caplog.text
    other._session.database._lock.release()
