"""A database file in a temporary folder, and short words for what is done to it."""

import sqlite3
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from cloudq.core.driver import Final, Outgoing
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.testing.clock import FakeClock

ZERO = timedelta(0)
LEASE = timedelta(seconds=60)


class Bench:
    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "q.db"
        self.clock = FakeClock()
        self._drivers = []

    def open(self, **options):
        """Another driver on the file, as another process would have one."""
        options = {"clock": self.clock, **options}
        driver = SQLiteDriver(options.pop("path", self.path), **options)
        self._drivers.append(driver)
        return driver

    def close(self):
        for driver in self._drivers:
            driver.close()

    def item(self, id_="a", queue="q", body=None, **fields):
        return Outgoing(id=id_, queue=queue, body=f"body of {id_}".encode() if body is None else body, **fields)

    def send(self, driver, *ids, queue="q", **fields):
        results = driver.send([self.item(id_, queue, **fields) for id_ in ids])
        assert [None] * len(ids) == [result.error for result in results]

    def receive(self, driver, queue="q", *, limit=10, wait=ZERO, lease=LEASE):
        return list(driver.receive(queue, limit=limit, wait=wait, lease=lease))

    def settle(self, driver, step, *deliveries):
        return [r.error for r in driver.settle([Final(lease=one.lease, step=step) for one in deliveries])]

    def query(self, sql, *values):
        """What another program reads in the file."""
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(sql, *values if values and isinstance(values[0], dict) else (values,)).fetchall()
        finally:
            connection.close()

    def run_script(self, script, *arguments, timeout=60):
        """Runs Python code in a process of its own; its output, if it succeeds."""
        done = subprocess.run(
            [sys.executable, "-c", script, str(self.path), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert (0, "") == (done.returncode, done.stderr)
        return done.stdout

    def start(self, function):
        """Runs a function in a thread; `join` gives its result or raises its error."""
        return Running(function)


class Running(threading.Thread):
    def __init__(self, function):
        super().__init__(daemon=True)
        self._function = function
        self._result = self._error = None
        self.start()

    def run(self):
        try:
            self._result = self._function()
        except BaseException as error:
            self._error = error

    def join_quietly(self, timeout=0.01):
        """Gives it real time to end; whether it did shows by `is_alive`."""
        super().join(timeout)

    def join(self, timeout=60):
        super().join(timeout)
        assert not self.is_alive(), "the thread is stuck"
        if self._error is not None:
            raise self._error
        return self._result


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def driver(bench):
    return bench.open()
