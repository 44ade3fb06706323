"""The write-ahead log stays short, and is checkpointed by us alone, under the write lock."""

import sqlite3
from itertools import pairwise

import pytest

from cloudq.sqlite_file import checkpoint
from cloudq.sqlite_file.lock import WriteLock

LIMIT = 256 * 1024
BODY = b"x" * 4000


@pytest.fixture
def small(bench):
    """A driver whose log may have 256 KiB."""
    driver = bench.open()
    driver._session.database._checkpointer = checkpoint.Checkpointer(bench.path, limit=LIMIT)
    return driver


def log_size(bench):
    return checkpoint.Checkpointer(bench.path).size()


def send_batch(bench, driver):
    bench.send(driver, *(f"m{n}" for n in range(20)), body=BODY)


def test_sqlite_never_checkpoints_by_itself(driver):
    """Automatic checkpoints are off on both connections, and no file is mapped."""
    database = driver._session.database
    for connection in (database._writer, database._reader):
        assert [(0,)] == connection.execute("PRAGMA wal_autocheckpoint").fetchall()
        assert [(0,)] == connection.execute("PRAGMA mmap_size").fetchall()


def test_the_log_of_small_messages_is_written_again_in_place(bench, small):
    """The file stays within its limit however much is written, and isn't cut, so that commits are flushed faster."""
    sizes = []
    for _ in range(100):
        bench.send(small, *(f"m{n}" for n in range(20)), body=b"x" * 200)
        sizes.append(log_size(bench))
    assert sizes == sorted(sizes)
    assert sizes[-1] <= LIMIT
    assert bench.path.stat().st_size > 2 * LIMIT


def test_the_log_of_large_messages_stays_bounded(bench, small):
    """The file never grows beyond four limits and one transaction, however much is written."""
    longest = 0
    for _ in range(60):
        send_batch(bench, small)
        longest = max(longest, log_size(bench))
    assert 0 < longest < 4 * LIMIT + 200 * 1024
    assert bench.path.stat().st_size > 4_000_000


def test_readers_do_not_keep_the_log_from_being_emptied(bench, small):
    """While other threads and drivers read all the time, the log is emptied again and again, not only once they end.

    How long it gets in between hangs on how long the machine lets a reader wait in the midst of its read.
    """
    done = False

    def read(driver):
        while not done:
            driver.stats("q")

    readers = [bench.start(lambda driver=driver: read(driver)) for driver in (small, bench.open(), bench.open())]
    sizes = []
    for _ in range(100):
        send_batch(bench, small)
        sizes.append(log_size(bench))
    done = True
    for reader in readers:
        reader.join()
    assert max(sizes) < 16 * LIMIT  # of more than 30 times as much that was written
    assert any(later < earlier for earlier, later in pairwise(sizes))


def test_a_long_read_of_another_program_only_postpones_it(bench, small):
    """While somebody keeps reading an old state the log grows, no send fails; afterwards it is emptied."""
    reader = sqlite3.connect(bench.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM message").fetchone()
    for _ in range(20):
        send_batch(bench, small)
    grown = log_size(bench)
    reader.close()
    for _ in range(5):
        send_batch(bench, small)
    assert grown > 3 * LIMIT
    assert log_size(bench) < LIMIT + 200 * 1024
    assert [("ok",)] == bench.query("PRAGMA integrity_check")


def test_a_checkpoint_that_fails_does_not_fail_the_send(bench, small, caplog):
    """The commit before it stands, so the send reports success, and the trouble is logged."""
    database = small._session.database

    class Broken:
        def execute(self, sql):
            if "wal_checkpoint" in sql:
                raise sqlite3.OperationalError("disk I/O error")
            return database._writer.execute(sql)

        total_changes = 1

    checkpointer = checkpoint.Checkpointer(bench.path, limit=0)
    bench.send(small, "a")
    checkpointer.run_if_due(Broken())
    assert "could not be checkpointed: disk I/O error" in caplog.text


def test_the_log_of_single_messages_stays_bounded(bench, small):
    """Sent one by one, small or large, and read by others at that: the file never grows beyond its bound."""
    reader = sqlite3.connect(bench.path, isolation_level=None)
    longest = 0
    for number in range(600):
        bench.send(small, f"m{number}", body=b"x" * (16_000 if number % 2 else 100_000 if number % 20 == 0 else 100))
        longest = max(longest, log_size(bench))
    reader.close()
    assert longest < 4 * LIMIT + 16 * 32 * 1024


def test_the_log_stays_bounded_where_each_process_sends_one_message(bench, driver):
    """Those that open the file, send one and close it, while another has it open, look at how long the log is."""
    longest = 0
    for number in range(120):
        sender = bench.open()
        sender._session.database._checkpointer = checkpoint.Checkpointer(bench.path, limit=LIMIT)
        bench.send(sender, f"m{number}", body=b"x" * 8000)
        sender.close()
        longest = max(longest, log_size(bench))
    assert longest < 2 * LIMIT


def test_every_write_checkpoint_and_close_holds_the_write_lock(bench, small, monkeypatch):
    """Whenever SQLite writes, checkpoints or closes, our process holds the lock that all processes share."""
    held, seen = [], []
    acquire, release = WriteLock.acquire, WriteLock.release

    def spy_acquire(self, deadline=None):
        acquire(self, deadline)
        held.append(self)

    def spy_release(self):
        held.clear()
        release(self)

    monkeypatch.setattr(WriteLock, "acquire", spy_acquire)
    monkeypatch.setattr(WriteLock, "release", spy_release)
    database = small._session.database
    database._writer.set_trace_callback(lambda sql: seen.append((sql.split()[0].split("(")[0], bool(held))))
    for _ in range(12):
        send_batch(bench, small)
    bench.receive(small)
    assert {"BEGIN", "INSERT", "UPDATE", "COMMIT", "PRAGMA"} <= {verb for verb, _ in seen}
    assert {True} == {locked for _, locked in seen}
    closing = []

    class Watched:
        def __init__(self, connection):
            self._connection = connection

        def close(self):
            closing.append(bool(held))
            self._connection.close()

    database._writer, database._reader = Watched(database._writer), Watched(database._reader)
    small.close()
    assert [True, True] == closing
    assert [] == held
