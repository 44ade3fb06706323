"""Real worker processes for the integration tests: started by `python -m cloudq worker`, stopped by their own pid."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would configure cloudq, and without coverage's hooks."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDQ_", "COV_"))}
    return {**clean, **more}


def start_worker(
    folder: Path, *arguments: str, log: str = "worker.log", by: Sequence[str] = (), **env: str
) -> subprocess.Popen[bytes]:
    """Starts a worker in `folder`, by another program where one is given; what it prints is appended to `log` there."""
    with (folder / log).open("ab") as output:
        return subprocess.Popen(
            [*by, sys.executable, "-m", "cloudq", "worker", *arguments],
            cwd=folder,
            env=environment(**env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def start_python(folder: Path, script: str, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
    """Starts a Python script, given as text, in `folder`."""
    return subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=folder, env=environment(**env))


@contextmanager
def worker(folder: Path, *arguments: str, log: str = "worker.log", **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that is stopped at the end of the block, by force if need be."""
    process = start_worker(folder, *arguments, log=log, **env)
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes], within: float = 60) -> int:
    """Stops a process as a service manager does: SIGTERM, and SIGKILL if that is ignored. Its exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def unexplained(log: str) -> list[str]:
    """The records of a worker's log that have a traceback and aren't about a task's failed attempt: there are to be
    none.
    """
    records = re.split(r"(?m)^(?=\d{4}-\d\d-\d\d )", log)
    ends = re.compile(r" s\) (retried|dead_lettered|lease_lost)\b")
    return [record for record in records if "Traceback" in record and not ends.search(record.partition("\n")[0])]


def wait_until(predicate: Callable[[], bool], *, within: float, what: str) -> float:
    """Polls `predicate` until it holds. How long that took, in seconds.

    Raises:
        AssertionError: It didn't hold in time.
    """
    start = time.monotonic()
    while not predicate():
        if time.monotonic() - start > within:
            raise AssertionError(f"after {within} s still not: {what}")
        time.sleep(0.02)
    return time.monotonic() - start
