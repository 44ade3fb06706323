"""The write lock: one writer at a time over all processes, in a fair order, and not for ever."""

import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq.errors import BackendUnavailable
from cloudq.sqlite_file.lock import WriteLock

MOMENT = timedelta(milliseconds=50)


def open_files():
    return len(list(Path("/dev/fd").iterdir()))


@pytest.fixture
def locks(tmp_path):
    """Two locks on one database, as two processes have them."""
    path = tmp_path / "q.db"
    pair = WriteLock(path, MOMENT), WriteLock(path, timedelta(seconds=60))
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


def test_a_release_gives_up_the_turn_of_an_interrupted_acquire(locks):
    """An exception struck behind the step that took the turn: whoever comes next gets the lock."""
    ours, theirs = locks
    assert ours._turn.take(time.monotonic(), (0, 0))
    ours.release()
    assert theirs._turn.take(time.monotonic(), (0, 0))
    theirs.release()


@pytest.mark.slow
def test_a_process_that_writes_in_a_loop_lets_others_in(locks, tmp_path):
    """Against a process that takes the lock again at once, each acquire waits for few turns only."""
    _, ours = locks
    script = """
import os, pathlib, sys, threading, time
from datetime import timedelta
from cloudq.sqlite_file.lock import WriteLock
lock = WriteLock(pathlib.Path(sys.argv[1]), timedelta(seconds=60))
counter = os.open(sys.argv[2], os.O_WRONLY)
done = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), done.set())).start()
turns = 0
print("begun", flush=True)
while not done.is_set():
    lock.acquire()
    turns += 1
    os.pwrite(counter, b"%9d" % turns, 0)
    end = time.perf_counter() + 0.001
    while time.perf_counter() < end:  # the work of a transaction
        pass
    lock.release()
print(turns)
"""
    counter = tmp_path / "turns"
    counter.write_bytes(b"0")
    command = [sys.executable, "-c", script, str(tmp_path / "q.db"), str(counter)]
    waited = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as hog:
        assert "begun\n" == hog.stdout.readline()
        for _ in range(50):
            before = int(counter.read_bytes())
            ours.acquire()
            waited.append(int(counter.read_bytes()) - before)
            ours.release()
            time.sleep(0.002)  # work elsewhere, so that the other one has the lock again
        turns = int(hog.communicate()[0])
    assert int(counter.read_bytes()) == turns > 0
    assert sorted(waited)[25] < 20, "a machine that holds one of them up says nothing of the others"


def turns(lock, monkeypatch, moments):
    """At which of these moments an acquire took the turn first, each followed by a release."""
    taken = []
    take = lock._turn.take
    monkeypatch.setattr(lock._turn, "take", lambda *args: (taken.append(None), take(*args))[1])
    for moment in moments:
        monkeypatch.setattr(time, "monotonic", lambda moment=moment: moment)
        before = len(taken)
        lock.acquire()
        lock.release()
        taken[before:] = [moment] * (len(taken) - before)
    return taken


def test_a_turn_lasts_for_a_moment(locks, monkeypatch):
    """Who has had its turn takes the free lock again without, for two milliseconds from then on and no longer."""
    ours, _ = locks
    moments = [100, 100.0005, 100.0019, 100.0021, 100.0040, 100.0042]
    assert [100, 100.0021, 100.0042] == turns(ours, monkeypatch, moments)


def test_within_its_turn_a_lock_that_others_hold_is_waited_for_in_line(locks):
    """Who had its turn just now and finds the lock taken is not before the one that is next in line."""
    ours, theirs = locks
    ours.acquire()
    ours.release()
    theirs.acquire()
    line = []
    take = ours._turn.take
    ours._turn.take = lambda *args: (line.append("joined"), take(*args))[1]
    with pytest.raises(BackendUnavailable):
        ours.acquire()
    theirs.release()
    assert ["joined"] == line


def test_the_lock_ends_with_its_process(bench):
    """A process that is killed while it holds the lock leaves it free."""
    script = """
import os, pathlib, signal, sys
from datetime import timedelta
from cloudq.sqlite_file.lock import WriteLock
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


@pytest.mark.parametrize("settled", [False, True], ids=["at once", "in a folder where nothing had changed"])
def test_a_lock_file_that_was_deleted_still_excludes(locks, tmp_path, settled):
    """Who comes after somebody deleted the lock file locks the new one, and so do those who had the old one open."""
    ours, _ = locks
    while settled and ours.folder.state() != ours.folder.state():
        pass
    ours.acquire()
    ours.release()
    (tmp_path / "q.db.lock").unlink()
    newcomer = WriteLock(tmp_path / "q.db", MOMENT)
    newcomer.acquire()
    with pytest.raises(BackendUnavailable):
        ours.acquire()
    newcomer.release()
    before = open_files()
    ours.acquire()
    with pytest.raises(BackendUnavailable):
        newcomer.acquire()
    ours.release()
    assert before == open_files()
    newcomer.close()


def test_a_lock_that_cannot_be_opened_leaves_nothing_open(tmp_path):
    """If the second file can't be opened, the first one is closed again."""
    (tmp_path / "q.db.turn").mkdir()
    before = open_files()
    with pytest.raises(IsADirectoryError):
        WriteLock(tmp_path / "q.db", MOMENT)
    assert before == open_files()
