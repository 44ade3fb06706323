"""What a single send on SQLite can't do without: the same durable writes in a bare loop, beside cloudq's and Huey's.

All of them in one process, and after each operation of one comes one of the next, in a random order: so a disk or a
machine that is busy is so for all of them. Each has a file of its own, in one folder. What is printed is of single
operations: a checkpoint is in the mean only.

- *row and index*: cloudq's statement, with its values ready made;
- *guarded*: the same, under the lock of all writers and with the look for a replaced file (semantics 24);
- *guarded event*: the same, with an id, a time, the encoded event and a receipt made for each.
"""

from __future__ import annotations

import fcntl
import os
import random
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, quantiles
from typing import Final, NamedTuple

import msgspec

from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.drivers.sqlite.sending import _INSERT_PLAIN
from tests.benchmarks.extent import Extent, machine, parser
from tests.benchmarks.measure import folder

OPERATIONS: Final = 4_000
CHECKPOINT: Final = 500
_PERCENTS: Final = (5, 25, 50)


class Bare:
    """A file as cloudq makes it, and a connection that writes it.

    Args:
        path: The file.
        synchronous: `full` or `normal`.
    """

    def __init__(self, path: Path, synchronous: str) -> None:
        SQLiteDriver(path).close()  # makes the tables
        self._folder = str(path.parent)
        self._lock = os.open(f"{path}.lock", os.O_RDWR)
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA wal_autocheckpoint=0").fetchall()
        self.connection.execute(f"PRAGMA synchronous={synchronous}")
        self._body = self._event()

    def close(self) -> None:
        """Closes both."""
        self.connection.close()
        os.close(self._lock)

    def row(self) -> str:
        """The statement alone."""
        return self._insert("0193f0a1-0000-4000-8000-000000000000", self._body)

    def guarded(self) -> str:
        """The statement under the lock."""
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert os.stat(self._folder).st_ctime_ns  # noqa: PTH116 - as the library does, since a Path takes much longer
        try:
            return self.row()
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def event(self) -> str:
        """All that makes a message."""
        self._body = self._event()
        return self.guarded()

    def _insert(self, id_: str, body: bytearray) -> str:
        now = time.time_ns() // 1000
        cursor = self.connection.cursor()
        cursor.execute(_INSERT_PLAIN, ("default", id_, body, now, now, now, 0))
        cursor.close()
        return f"{cursor.lastrowid}-{id_}"

    def _event(self) -> bytearray:
        event = {
            "specversion": "1.0",
            "id": os.urandom(16).hex(),
            "source": "cloudq",
            "type": "noop",
            "datacontenttype": "application/json",
            "wireversion": 1,
            "queue": "default",
            "time": datetime.now(UTC),
            "data": {"text": "x" * 180},
        }
        return bytearray(msgspec.json.encode(event))


class Side(NamedTuple):
    """What is measured.

    Attributes:
        work: One operation.
        end: Closes what it has open.
        connection: To be checkpointed now and then; `None`: it does so by itself.
    """

    work: Callable[[], object]
    end: Callable[[], object]
    connection: sqlite3.Connection | None = None


def sides(path: Path, synchronous: str) -> dict[str, Side]:
    """All of them, open."""
    os.environ.update(BENCH_FOLDER=str(path), BENCH_SYNCHRONOUS=synchronous)
    from tests.benchmarks import sqlite_cloudq, sqlite_huey  # they read these as they are imported

    sqlite_cloudq.app.driver()
    found = {
        "cloudq": Side(lambda: sqlite_cloudq.noop.send(**sqlite_cloudq.PAYLOAD), sqlite_cloudq.app.close),
        "Huey": Side(lambda: sqlite_huey.noop(**sqlite_huey.PAYLOAD), sqlite_huey.app.storage.close),
    }
    for name in ("row and index", "guarded", "guarded event"):
        (path / name).mkdir()  # a folder that settles, as cloudq's own
        bare = Bare(path / name / "bare.db", synchronous)
        work = {"row and index": bare.row, "guarded": bare.guarded, "guarded event": bare.event}[name]
        found[name] = Side(work, bare.close, bare.connection)
    return found


def measured(all_of: dict[str, Side], operations: int) -> dict[str, list[float]]:
    """Microseconds of each operation."""
    names = list(all_of)
    spent: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-operations // 4, operations):
        random.shuffle(names)
        for name in names:
            began = time.perf_counter()
            all_of[name].work()
            if number >= 0:  # before that the logs grow to their length
                spent[name].append((time.perf_counter() - began) * 1e6)
        if number % CHECKPOINT == 0:
            for side in all_of.values():
                if side.connection is not None:
                    side.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    return spent


def main(extent: Extent, synchronous: str) -> None:
    """Measures, and prints microseconds an operation, in brackets how many times Huey's they are."""
    print(f"SQLite {sqlite3.sqlite_version}, synchronous={synchronous}; {machine()}; in turn, microseconds")
    with folder() as path:
        all_of = sides(path, synchronous)
        try:
            spent = measured(all_of, extent.tasks(OPERATIONS))
        finally:
            for side in all_of.values():
                side.end()
    huey = quantiles(spent["Huey"], n=100)
    for name, taken in spent.items():
        at = quantiles(taken, n=100)
        shown = "  ".join(f"p{one} {at[one - 1]:7.1f} ({at[one - 1] / huey[one - 1]:.2f})" for one in _PERCENTS)
        print(f"{name:13}  {shown}  mean {mean(taken):8.1f}")
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    command = parser(__doc__)
    command.add_argument("synchronous", nargs="?", choices=("full", "normal"), default="full")
    asked = command.parse_args()
    main(Extent.asked(asked), asked.synchronous)
