"""The write lock: one writer at a time over all processes, in a fair order, and not for ever."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq.drivers.sqlite.lock import WriteLock
from cloudq.errors import BackendUnavailable

MOMENT = timedelta(milliseconds=50)


def open_files():
    return len(list(Path("/dev/fd").iterdir()))


@pytest.fixture
def locks(tmp_path):
    """Two locks on one database, as two processes have them."""
    path = tmp_path / "q.db"
    pair = WriteLock(path, MOMENT), WriteLock(path, timedelta(seconds=20))
    yield pair
    for lock in pair:
        lock.close()


def test_the_lock_is_exclusive_and_the_wait_bounded(locks, tmp_path):
    """While one holds it another gives up after its time-out, naming the file; after the release it succeeds."""
    ours, theirs = locks
    theirs.acquire()
    with pytest.raises(BackendUnavailable, match=f"{tmp_path / 'q.db'} is busy.*0.05 s"):
        ours.acquire()
    theirs.release()
    ours.acquire()
    ours.release()


def test_giving_up_gives_the_turn_up(locks):
    """Whoever waited in vain blocks nobody afterwards."""
    ours, theirs = locks
    theirs.acquire()
    with pytest.raises(BackendUnavailable):
        ours.acquire()
    theirs.release()
    theirs.acquire()
    theirs.release()


def test_a_process_that_writes_in_a_loop_lets_others_in(locks):
    """Against a holder that takes the lock again at once, each acquire waits for few turns only."""
    ours, hog = locks
    ours._timeout = timedelta(seconds=20)
    stop, turns, pause = threading.Event(), [0], threading.Event()

    def loop():
        while not stop.is_set():
            hog.acquire()
            turns[0] += 1
            pause.wait(0.001)  # the work of a transaction
            hog.release()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        for _ in range(20):
            ours.acquire()
            ours.release()
    finally:
        stop.set()
        thread.join()
    assert turns[0] < 20 * 20


def test_the_lock_ends_with_its_process(bench):
    """A process that is killed while it holds the lock leaves it free."""
    script = """
import os, pathlib, signal, sys
from datetime import timedelta
from cloudq.drivers.sqlite.lock import WriteLock
WriteLock(pathlib.Path(sys.argv[1]), timedelta(seconds=1)).acquire()
print("held", flush=True)
if os.fork() == 0:
    os._exit(0)
os.wait()
"""
    assert "held\n" == bench.run_script(script)
    lock = WriteLock(bench.path, MOMENT)
    lock.acquire()
    lock.close()


def test_a_lock_that_cannot_be_opened_leaves_nothing_open(tmp_path):
    """If the second file can't be opened, the first one is closed again."""
    (tmp_path / "q.db.turn").mkdir()
    before = open_files()
    with pytest.raises(IsADirectoryError):
        WriteLock(tmp_path / "q.db", MOMENT)
    assert before == open_files()
