"""A module of functions, as an RQ project has, and a queue for them in memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from cloudq.compat.rq import Connection, Queue
from cloudq.testing import in_memory

FUNCTIONS = """
import asyncio
import socket
import sys
from posixpath import basename as basename  # which takes any text, and is nobody's job

import cloudq
from cloudq.errors import TransactionBroken
from cloudq.compat.rq import Retry as Retry, get_current_job as get_current_job
from cloudq.testing import run_all as run_all

ran = []

def add(x, y=1, *, z=0):
    ran.append((x, y, z))
    return x + y + z

def fails(what):
    ran.append(what)
    raise ValueError(f"{what} is broken")

async def afails(what):
    ran.append(what)
    raise ValueError(f"{what} is broken")

def exits():
    ran.append("exits")
    sys.exit(1)

async def awaits_what_is_cancelled():
    ran.append("awaits_what_is_cancelled")
    waits = asyncio.create_task(asyncio.sleep(60))
    waits.cancel()
    await waits

async def waits():
    ran.append("waits")
    await asyncio.sleep(60)

def asks():
    ran.append(cloudq.current().attempt)
    if len(ran) == 1:
        raise cloudq.Retry(delay=__import__("datetime").timedelta(seconds=3))

def gives_up():
    ran.append(cloudq.current().attempt)
    raise cloudq.DeadLetter("no use")

def breaks_its_transaction():
    ran.append(cloudq.current().attempt)
    raise TransactionBroken("ended within its block")

def returns_retry(until):
    ran.append(len(ran) + 1)
    return Retry(max=2, interval=[5, 7]) if len(ran) < until else "done"

async def areturns_retry(until):
    return returns_retry(until)

def tells(x):
    job = get_current_job()
    ran.append({
        "id": job.id, "origin": job.origin, "func": job.func_name, "kwargs": dict(job.kwargs), "meta": dict(job.meta),
        "description": job.description, "status": job.get_status(), "timeout": job.timeout, "sent": job.enqueued_at,
        "retries": job.number_of_retries, "left": job.retries_left,
    })
    raise ValueError(x)

def all_of(*items): ...

def talks(to: socket.socket) -> None: ...

def makes() -> socket.socket: ...

def _private(): ...

class Shop:
    def open(self): ...
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """`rq_functions`, as any import finds it."""
    (tmp_path / "rq_functions.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        yield import_module("rq_functions")
    finally:
        del sys.modules["rq_functions"]


@pytest.fixture
def jobs(module: ModuleType) -> Iterator[tuple[Queue, ModuleType]]:
    """A queue of its functions, and the module."""
    connection = Connection("rq_functions", result_ttl=None)
    with in_memory(connection):
        yield Queue("important", connection=connection), module


@pytest.fixture
def redis(module: ModuleType) -> Iterator[Connection]:
    """A connection that keeps results."""
    connection = Connection("rq_functions")
    with in_memory(connection):
        yield connection
