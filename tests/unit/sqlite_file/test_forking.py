"""A child process after fork: it opens the file anew and harms nothing of its parent's.

In processes of their own: pytest's has threads, whose locks a child would inherit.
"""

import subprocess
import sys
from datetime import timedelta

import pytest

PROLOGUE = """
import os, sys, threading, warnings
from datetime import timedelta
from cloudq.core.driver import Outgoing
from cloudq.drivers.sqlite import SQLiteDriver
warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # Python 3.12 warns of fork with threads

ZERO, LEASE = timedelta(0), timedelta(seconds=60)
driver = SQLiteDriver(sys.argv[1])

def send(*ids):
    return [type(r.error) for r in driver.send([Outgoing(id=i, queue="q", body=i.encode()) for i in ids])]

def receive(wait=ZERO):
    return [one.id for one in driver.receive("q", limit=10, wait=wait, lease=LEASE)]

def in_child(function):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        function()
        sys.exit(0)  # with everything that the interpreter does at its end
    assert 0 == os.waitpid(pid, 0)[1]
"""


def run(bench, script):
    output = bench.run_script(PROLOGUE + script)
    assert [("ok",)] == bench.query("PRAGMA integrity_check")
    return output.split()


@pytest.mark.slow
def test_a_child_uses_the_driver_of_its_parent(bench):
    """A driver works in parent and child, though the parent had receives waiting when it forked."""
    script = """
idle = threading.Thread(target=driver.receive, args=("idle",),
    kwargs=dict(limit=1, wait=timedelta(seconds=60), lease=LEASE))
idle.start()
while driver._session.waiters._watcher is None:
    pass
send("parent")
def child():
    print(*receive())
    send("child")
    print(*receive(timedelta(seconds=60)), "again")
    send("last")
in_child(child)
print(*receive())
driver.close()
idle.join()
"""
    assert ["parent", "child", "again", "last"] == run(bench, script)


@pytest.mark.slow
def test_a_child_notices_what_its_parent_sends(bench):
    """A receive that waits in a child gets what other processes send, though its parent's watcher isn't there."""
    script = """
receive(timedelta(milliseconds=1))  # the parent has a watcher
reading, writing = os.pipe()
def child():
    def tell():
        while not (driver._session and driver._session.waiters._waiting):
            pass
        os.write(writing, b"waiting")
    threading.Thread(target=tell).start()
    print(*receive(timedelta(seconds=60)))
threading.Thread(target=lambda: (os.read(reading, 7), send("sent"))).start()
in_child(child)
"""
    assert ["sent"] == run(bench, script)


CHILD_LEFT_BEHIND = """
if os.fork() == 0:
    os.close(1)
    sys.stdin.read()  # until the test says so
    sys.exit(0)
"""


@pytest.fixture
def left_behind(bench):
    """Starts a script whose child stays until the function that comes back is called."""
    processes = []

    def start(script, code):
        command = [sys.executable, "-c", PROLOGUE + CHILD_LEFT_BEHIND + script, str(bench.path)]
        # The child keeps standard error open, so that its end can be seen.
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        assert code == process.wait(60)
        return lambda: process.communicate(timeout=60)[1]

    yield start
    for process in processes:
        process.communicate(timeout=60)


@pytest.mark.slow
def test_a_child_keeps_no_lock_of_a_dead_parent(bench, left_behind):
    """When a process is killed while it writes, its lock is free, though a child of it lives on."""
    left_behind("driver._session.database._lock.acquire()\nos.kill(os.getpid(), 9)", code=-9)
    bench.send(bench.open(busy_timeout=timedelta(milliseconds=300)), "a")


@pytest.mark.slow
def test_a_child_that_outlives_its_parent_deletes_no_log(bench, left_behind):
    """A child that ends doesn't close what it inherited, which could delete the log that others wrote meanwhile."""
    finish = left_behind("driver.close()", code=0)
    writer = subprocess.run(
        [sys.executable, "-c", PROLOGUE + "send('kept')\nos.kill(os.getpid(), 9)", str(bench.path)], check=False
    )
    assert -9 == writer.returncode
    assert "" == finish()
    assert [("kept",)] == bench.query("SELECT id FROM message")


@pytest.mark.slow
def test_a_child_does_not_get_the_locks_of_its_parent(bench):
    """A child forked in the middle of a transaction waits for its end as any process does, and drops nothing."""
    script = """
driver = SQLiteDriver(sys.argv[1], busy_timeout=timedelta(milliseconds=300))
def early():
    print(send("early")[0].__name__, flush=True)
    os._exit(0)  # the forked thread isn't the child's main one
def amid(cursor):
    cursor.execute("INSERT INTO dedup VALUES ('q', 'n', 'i', 0)")
    thread = threading.Thread(target=in_child, args=(early,))
    thread.start()
    thread.join()
driver._session.database.write(amid, durable=True)
in_child(lambda: print(send("late")[0].__name__))
print(*receive())
"""
    assert ["BackendUnavailable", "NoneType", "late"] == run(bench, script)
    assert [("n",)] == bench.query("SELECT native_id FROM dedup")


@pytest.mark.slow
def test_a_child_that_uses_nothing_closes_nothing(bench):
    """A child that ends, even after its parent, leaves the parent's connections and the log alone."""
    script = """
send("a")
in_child(lambda: None)
print(os.path.exists(sys.argv[1] + "-wal"))
in_child(driver.close)
print(os.path.exists(sys.argv[1] + "-wal"))
print(*receive())
"""
    assert ["True", "True", "a"] == run(bench, script)


@pytest.mark.slow
def test_a_closed_driver_stays_closed_in_a_child(bench):
    """A driver that the parent closed isn't opened again."""
    script = """
driver.close()
in_child(lambda: print(send("a")[0].__name__, receive()))
"""
    assert ["FileClosed", "[]"] == run(bench, script)


@pytest.mark.slow
def test_a_fork_amid_the_sends_of_many_threads_leaves_no_child_hanging(bench):
    """SQLite's own locks aren't inherited taken: each of many children sends at once, while 8 threads do."""
    script = """
import random, signal, time
done = threading.Event()

def send_on():
    while not done.is_set():
        assert [type(None)] == send("x")

threads = [threading.Thread(target=send_on) for _ in range(8)]
for thread in threads:
    thread.start()

def child():
    signal.alarm(60)  # a child that hangs is killed
    assert [type(None)] == send("y")
    os._exit(0)

chance = random.Random(1)
for _ in range(60):
    time.sleep(chance.uniform(0, 0.01))  # the moment of the fork is what varies here
    in_child(child)
done.set()
for thread in threads:
    thread.join()
print("done")
"""
    assert ["done"] == run(bench, script)
