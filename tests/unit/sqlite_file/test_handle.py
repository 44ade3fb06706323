"""A file that a child process opens anew, and its parent's stays whole.

In processes of their own: pytest's has threads, whose locks a child would inherit.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROLOGUE = """
import os, sys, warnings
from datetime import timedelta
from pathlib import Path
from cloudq.sqlite_file.connection import Database
from cloudq.sqlite_file.faults import FileClosed
from cloudq.sqlite_file.handle import Handle
from cloudq.sqlite_file.tables import make_ours
warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # Python 3.12 warns of fork with threads

class Tables:
    def check(self, connection, path): ...
    def prepare(self, connection, boot):
        make_ours(connection)
        connection.execute("CREATE TABLE IF NOT EXISTS t(x)")
        return 0

path = Path(sys.argv[1])
opened = []
def open_file():
    opened.append(os.getpid())
    return Database(path, Tables(), patience=timedelta(seconds=5), full=True, boot=None, mode=0o600)

handle = Handle(path, open_file)

def add(value):
    handle.database().write(lambda cursor: cursor.execute("INSERT INTO t VALUES (?)", (value,)), durable=True)

def values():
    return [row[0] for row in handle.database().read(lambda cursor: cursor.execute("SELECT x FROM t").fetchall())]

def in_child(function):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        function()
        sys.exit(0)  # with everything that the interpreter does at its end
    assert 0 == os.waitpid(pid, 0)[1]
"""


def run(folder: Path, script: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROLOGUE + script, str(folder / "q.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.split()


def test_a_child_opens_the_file_anew(tmp_path: Path) -> None:
    """Both go on, and see what the other one did."""
    script = """
add("parent")
def child():
    add("child")
    print(*values(), len(set(opened)))
in_child(child)
add("last")
print(*values(), len(set(opened)))
"""
    assert run(tmp_path, script) == ["parent", "child", "2", "parent", "child", "last", "1"]


def test_a_child_that_uses_nothing_opens_and_closes_nothing(tmp_path: Path) -> None:
    """Its end leaves the parent's log alone."""
    script = """
add("a")
in_child(lambda: print(len(opened)))
in_child(handle.close)
print(os.path.exists(sys.argv[1] + "-wal"), *values())
"""
    assert run(tmp_path, script) == ["1", "True", "a"]


def test_what_was_closed_stays_closed(tmp_path: Path) -> None:
    """In a child, too; and closing twice is no error."""
    script = """
handle.close()
handle.close()
def child():
    try:
        add("x")
    except FileClosed:
        print("closed")
child()
in_child(child)
"""
    assert run(tmp_path, script) == ["closed", "closed"]


def test_the_last_close_leaves_no_log(tmp_path: Path) -> None:
    """At the interpreter's end it is closed, though nobody says so."""
    run(tmp_path, 'add("a")')
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["q.db", "q.db.lock", "q.db.turn"]
