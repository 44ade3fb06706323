"""Full, locked, damaged and read-only files: a clear error, and nothing lost."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.driver import Ack, Final, Release
from cloudq.errors import (
    BackendError,
    BackendUnavailable,
    PermissionDenied,
    StorageCorrupt,
    StorageFull,
    StorageReadOnly,
    StorageReplaced,
)
from cloudq.sqlite_file import faults
from tests.ids import shown

SECOND = timedelta(seconds=1)
SHORT = timedelta(milliseconds=100)


def kinds(results):
    return [type(result.error) for result in results]


def test_a_full_database_refuses_and_keeps_what_it_has(bench, driver):
    """When the file can't grow, each item of the batch is StorageFull, none is stored, and all accepted are there."""
    writer = driver._session.database._writer
    bench.send(driver, "kept")
    (delivery,) = bench.receive(driver)
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count={pages}")
    big = b"x" * 100_000
    results = driver.send([bench.item("a", body=big), bench.item("b", native_id="n")])
    assert [StorageFull, StorageFull] == kinds(results)
    assert isinstance(results[0].error.__cause__, sqlite3.OperationalError)
    assert "still there" in results[0].error.hint
    assert [None] == bench.settle(driver, Release(), delivery)
    writer.execute("PRAGMA max_page_count=1073741823")
    assert [False] == [r.duplicate for r in driver.send([bench.item("b", native_id="n")])]
    assert ["kept", "b"] == [one.id for one in bench.receive(driver)]


@pytest.mark.slow
def test_a_disk_that_takes_no_more_is_reported_and_nothing_is_lost(bench):
    """When the system refuses to let the file grow, sends are StorageFull; with room again all accepted are there."""
    script = """
import resource, sys
from datetime import timedelta
from cloudq.core.driver import Outgoing, Final, Ack
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.errors import StorageFull
driver = SQLiteDriver(sys.argv[1])
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
accepted, errors = [], []
for number in range(40):
    ids = [f"{number}-{n}" for n in range(10)]
    results = driver.send([Outgoing(id=id_, queue="q", body=b"x" * 8000) for id_ in ids])
    accepted += [id_ for id_, result in zip(ids, results) if result.error is None]
    errors += [result.error for result in results if result.error is not None]
assert errors and {StorageFull} == {type(error) for error in errors}, errors
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
received = []
while brought := driver.receive("q", limit=100, wait=timedelta(0), lease=timedelta(seconds=60)):
    received += [one.id for one in brought]
    results = driver.settle([Final(lease=one.lease, step=Ack()) for one in brought])
    assert {None} == {result.error for result in results}
assert accepted == received, (len(accepted), len(received))
print(len(accepted) > 10)
"""
    assert "True\n" == bench.run_script(script)
    assert [("ok",)] == bench.query("PRAGMA integrity_check")


def test_a_database_that_is_locked_is_unavailable(bench):
    """While another program writes for longer than the time-out, every call says so, and changes nothing."""
    driver = bench.open(busy_timeout=SHORT)
    bench.send(driver, "a", "b")
    (delivery,) = bench.receive(driver, limit=1)
    other = sqlite3.connect(bench.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    errors = [
        driver.send([bench.item("c")])[0].error,
        bench.settle(driver, Ack(), delivery)[0],
        driver.extend([delivery.lease], SECOND)[0].error,
    ]
    with pytest.raises(BackendUnavailable, match=f"{bench.path} is busy"):
        bench.receive(driver)
    other.close()
    assert [BackendUnavailable] * 3 == [type(error) for error in errors]
    assert isinstance(errors[0].__cause__, sqlite3.OperationalError)
    assert [None] == bench.settle(driver, Ack(), delivery)
    assert ["b"] == [one.id for one in bench.receive(driver)]


def test_a_held_lock_file_is_unavailable(bench):
    """While another process keeps the write lock for longer than the time-out, the error names the database."""
    driver, other = bench.open(busy_timeout=SHORT), bench.open()

    def meanwhile(_):
        with pytest.raises(BackendUnavailable):
            bench.open(busy_timeout=SHORT)
        return driver.send([bench.item("a")])[0].error

    error = other._session.database.write(meanwhile, durable=True)
    assert isinstance(error, BackendUnavailable)
    assert str(bench.path) in str(error)
    bench.send(driver, "a")


FROZEN = """
import os, signal, sys
from cloudq.drivers.sqlite import SQLiteDriver
driver = SQLiteDriver(sys.argv[1])
def freeze(cursor):
    print("held", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
driver._session.database.write(freeze, durable=True)
"""


@pytest.mark.slow
def test_a_frozen_lock_holder_keeps_no_call_for_longer_than_a_third_of_the_time_out(bench):
    """While a stopped process holds the lock, calls of several threads at once end in time; a look isn't held up."""
    driver = bench.open(timeout=3 * SECOND)
    assert SECOND == driver.capabilities("q").call_timeout
    bench.send(driver, "a")
    (delivery,) = bench.receive(driver)
    with subprocess.Popen([sys.executable, "-c", FROZEN, str(bench.path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline()
        calls = [
            lambda: driver.send([bench.item("b")])[0].error,
            lambda: bench.settle(driver, Ack(), delivery)[0],
            lambda: driver.extend([delivery.lease], SECOND)[0].error,
            lambda: error_of(lambda: driver.purge("q")),
            lambda: error_of(lambda: driver.cancel("q", "1-a")),
            lambda: error_of(lambda: driver.dead_letters("q").purge(None)),
        ]
        began = time.monotonic()
        errors = [thread.join(60) for thread in [bench.start(call) for call in calls * 5]]
        took = time.monotonic() - began
        assert 1 == driver.stats("q").in_flight
        holder.kill()
    assert [BackendUnavailable] * 30 == [type(error) for error in errors]
    assert 0.8 < took < 20, "thirty calls, a second each, at once"
    assert [None] == bench.settle(driver, Ack(), delivery)


def error_of(call):
    with pytest.raises(BackendError) as raised:
        call()
    return raised.value


def test_a_busy_timeout_only_shortens_the_wait(bench):
    """It is the wait of one call where it is shorter than a third of the time-out, and never longer."""
    patience = [
        bench.open(timeout=30 * SECOND)._patience,
        bench.open(timeout=30 * SECOND, busy_timeout=2 * SECOND)._patience,
        bench.open(timeout=30 * SECOND, busy_timeout=60 * SECOND)._patience,
    ]
    assert [9 * SECOND, 2 * SECOND, 9 * SECOND] == patience


def test_a_stuck_thread_does_not_block_the_others_for_ever(bench):
    """While a thread of the same process keeps the transaction, the others give up after the time-out."""
    driver = bench.open(busy_timeout=SHORT)

    def meanwhile(_):
        return bench.start(lambda: driver.send([bench.item("a")])[0]).join()

    result = driver._session.database.write(meanwhile, durable=True)
    assert isinstance(result.error, BackendUnavailable)
    assert "other threads" in str(result.error)


def test_a_damaged_database_says_so(bench, driver):
    """Pages that were overwritten are StorageCorrupt for each item, at the latest when they are read."""
    bench.send(driver, *(f"m{n}" for n in range(200)), body=b"x" * 3000)
    driver.close()
    intact = {page for (page,) in bench.query("SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'boot'")}
    with bench.path.open("r+b") as file:
        for page in range(2, bench.path.stat().st_size // 4096 + 1):  # the first is that of the schema
            if page not in intact:  # opening reads these
                file.seek((page - 1) * 4096)
                file.write(b"\xa5" * 4096)
    driver = bench.open()
    assert [StorageCorrupt, StorageCorrupt] == kinds(driver.send([bench.item("a"), bench.item("b")]))
    with pytest.raises(StorageCorrupt, match="isn't an intact cloudq database") as raised:
        bench.receive(driver)
    assert isinstance(raised.value.__cause__, sqlite3.DatabaseError)
    with pytest.raises(StorageCorrupt):
        driver.stats("q")


READ_ONLY = """
import os, sys
from datetime import timedelta
from pathlib import Path
from cloudq.core.driver import Outgoing
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.errors import StorageReadOnly
import ctypes, tempfile
if os.geteuid() == 0:
    os.setuid(65534)  # modes don't bind root
try:
    SQLiteDriver(sys.argv[2])
except StorageReadOnly as error:
    print(type(error.__cause__).__name__, error.hint.split(":")[0])
"""


@pytest.fixture
def public_folder():
    """A folder that any user can reach."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    folder.chmod(0o777)
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("what", "cause"), [("file", "NoneType"), ("folder", "PermissionError")])
def test_a_read_only_file_or_folder_is_refused_at_open(bench, public_folder, what, cause):
    """A user who can't write the file, or its folder, gets StorageReadOnly at open; the file isn't changed."""
    path = public_folder / "q.db"
    driver = bench.open(path=path)
    bench.send(driver, "a")
    driver.close()
    for file in public_folder.iterdir():
        file.chmod(0o666)
    if what == "file":
        path.chmod(0o444)
    else:
        for name in ("q.db.lock", "q.db.turn"):
            (public_folder / name).unlink()
        public_folder.chmod(0o555)
    before = path.read_bytes()
    assert cause == bench.run_script(READ_ONLY, path).split()[0]
    assert before == path.read_bytes()


def test_a_database_that_turns_read_only_refuses_and_loses_nothing(bench, driver):
    """If it can't be written any more, each item is StorageReadOnly; what was stored stays readable."""
    bench.send(driver, "a")
    driver._session.database._writer.execute("PRAGMA query_only=1")
    assert [StorageReadOnly] == kinds(driver.send([bench.item("b")]))
    driver._session.database._writer.execute("PRAGMA query_only=0")
    assert ["a"] == [one.id for one in bench.receive(driver)]


class Reported(sqlite3.OperationalError):
    """An error as SQLite reports it."""

    def __init__(self, code):
        super().__init__("as reported")
        self.sqlite_errorcode = code


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        (Reported(sqlite3.SQLITE_FULL), StorageFull),
        (Reported(sqlite3.SQLITE_LOCKED), BackendUnavailable),
        (Reported(sqlite3.SQLITE_BUSY_SNAPSHOT), BackendUnavailable),
        (Reported(sqlite3.SQLITE_CORRUPT_INDEX), StorageCorrupt),
        (Reported(sqlite3.SQLITE_NOTADB), StorageCorrupt),
        (Reported(sqlite3.SQLITE_READONLY_DIRECTORY), StorageReadOnly),
        (Reported(sqlite3.SQLITE_PERM), StorageReadOnly),
        (Reported(sqlite3.SQLITE_READONLY_DBMOVED), StorageReplaced),
        (Reported(sqlite3.SQLITE_CANTOPEN), BackendError),
        (Reported(sqlite3.SQLITE_PROTOCOL), BackendUnavailable),
        (Reported(sqlite3.SQLITE_IOERR_FSYNC), BackendError),
        (Reported(sqlite3.SQLITE_NOMEM), BackendError),
        (sqlite3.ProgrammingError("of the module itself"), BackendError),
        (OSError(errno.ENOSPC, "no space"), StorageFull),
        (OSError(errno.EDQUOT, "quota"), StorageFull),
        (OSError(errno.EROFS, "read-only"), StorageReadOnly),
        (OSError(errno.EMFILE, "too many"), BackendError),
    ],
    ids=shown,
)
def test_each_report_has_its_error(tmp_path, reported, expected):
    """What SQLite and the system report becomes the error that says what to do, naming the file."""
    error = faults.translate(reported, tmp_path / "q.db")
    assert expected is type(error)
    assert str(tmp_path / "q.db") in str(error)


# What sqlite.org/rescode.html says of each: only these two mean that the file itself is wrong.
CORRUPT = {"SQLITE_CORRUPT", "SQLITE_NOTADB"}
OF_THE_DISK_OR_THE_SYSTEM = ("SQLITE_IOERR", "SQLITE_FULL", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN")
CODES = {
    name: code
    for name, code in vars(sqlite3).items()
    if name.startswith((*CORRUPT, *OF_THE_DISK_OR_THE_SYSTEM)) and isinstance(code, int)
}


@pytest.mark.parametrize("name", sorted(CODES))
def test_trouble_with_the_disk_is_never_called_corruption(tmp_path, name):
    """Of all codes of SQLite for the file and its disk, the extended ones too, only those two say it is damaged."""
    error = faults.translate(Reported(CODES[name]), tmp_path / "q.db")
    primary = next(known for known in (*CORRUPT, *OF_THE_DISK_OR_THE_SYSTEM) if name.startswith(known))
    assert (primary in CORRUPT) == isinstance(error, StorageCorrupt)
    assert (primary in CORRUPT) == ("isn't an intact" in str(error))


def test_a_database_that_this_user_may_not_read_is_a_matter_of_permission(tmp_path, monkeypatch):
    """Otherwise a file that can't be opened, though it may be, says what else keeps a process from it."""
    path = tmp_path / "q.db"
    path.touch()
    reported = Reported(sqlite3.SQLITE_CANTOPEN)
    assert "too many files" in faults.translate(reported, path).hint
    monkeypatch.setattr(faults.os, "access", lambda file, _: file != path)
    assert PermissionDenied is type(faults.translate(reported, path))


@pytest.mark.slow
def test_a_process_with_too_many_files_open_says_so(bench):
    """No more files can be opened: neither permission nor the database is to blame."""
    script = """
import resource, sys
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.errors import BackendError
SQLiteDriver(sys.argv[1]).close()
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
files = []
try:
    while True:
        files.append(open(sys.argv[1] + ".lock"))
except OSError:
    files.pop().close()
    files.pop().close()
try:
    SQLiteDriver(sys.argv[1])
except BackendError as error:
    print(type(error).__name__)
"""
    assert "BackendError\n" == bench.run_script(script)


def test_an_io_error_of_a_full_disk_is_storage_full(tmp_path, monkeypatch):
    """SQLite reports some failures for want of space as I/O errors: the free space tells."""
    reported = Reported(sqlite3.SQLITE_IOERR_SHMSIZE)
    assert BackendError is type(faults.translate(reported, tmp_path / "q.db"))
    volume = os.statvfs(tmp_path)
    full = os.statvfs_result((*volume[:3], 0, 0, *volume[5:]))
    monkeypatch.setattr(faults.os, "statvfs", lambda path: full)
    assert StorageFull is type(faults.translate(reported, tmp_path / "q.db"))
    assert StorageFull is type(faults.translate(Reported(sqlite3.SQLITE_CANTOPEN), tmp_path / "q.db"))


def files_of(path):
    return [file for file in path.parent.iterdir() if file.name.startswith(path.name)]


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced", "only the log deleted"])
@pytest.mark.parametrize("settled", [False, True], ids=["at once", "in a folder where nothing had changed"])
def test_a_database_whose_file_is_gone_accepts_nothing(bench, driver, how, settled):
    """Where the file that was opened has lost its name, every call says so: what it stored would be gone."""
    bench.send(driver, "a")
    folder = driver._session.database._lock.folder
    while settled and folder.state() != folder.state():
        driver.stats("q")
    driver.stats("q")
    (delivery,) = bench.receive(driver)
    if how == "only the log deleted":
        bench.path.with_name("q.db-wal").unlink()
    else:
        (bench.folder / "away").mkdir()
        for file in files_of(bench.path):
            file.unlink() if how == "deleted" else file.rename(bench.folder / "away" / file.name)
    if how == "replaced":
        bench.send(bench.open(), "other")
    errors = [
        driver.send([bench.item("b")])[0].error,
        bench.settle(driver, Ack(), delivery)[0],
        driver.extend([delivery.lease], SECOND)[0].error,
    ]
    dead = driver.dead_letters("q")
    errors += [result.error for result in dead.settle([Final(lease=delivery.lease, step=Ack())])]
    calls = [
        lambda: bench.receive(driver),
        lambda: driver.stats("q"),
        lambda: driver.purge("q"),
        lambda: driver.cancel("q", "1-a"),
        lambda: dead.peek(limit=1),
        lambda: dead.get("1"),
        lambda: dead.take(None, limit=1, lease=SECOND),
        lambda: dead.purge(None),
    ]
    for call in calls:
        with pytest.raises(StorageReplaced) as raised:
            call()
        errors.append(raised.value)
    assert [StorageReplaced] * 12 == [type(error) for error in errors]
    assert {"restart this process"} == {error.hint for error in errors}


def test_a_waiting_receive_notices_that_the_file_is_gone(bench):
    """A receive that waits for messages of other processes ends with the error, not with the wait."""
    driver = bench.open(clock=SYSTEM_CLOCK)
    receive = bench.start(lambda: driver.receive("q", limit=1, wait=60 * SECOND, lease=60 * SECOND))
    poll_until(lambda: driver._session.waiters._waiting)
    for file in files_of(bench.path):
        file.unlink()
    with pytest.raises(StorageReplaced, match="deleted"):
        receive.join()


def poll_until(predicate):
    deadline = time.monotonic() + 60
    while not predicate():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_folder_that_is_gone_is_named(tmp_path):
    """A database that can't be opened because its folder went away says that."""
    error = faults.translate(Reported(sqlite3.SQLITE_CANTOPEN), tmp_path / "gone" / "q.db")
    assert "the folder" in str(error)
    assert BackendError is type(faults.translate(Reported(sqlite3.SQLITE_IOERR), tmp_path / "gone" / "q.db"))
