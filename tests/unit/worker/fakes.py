"""Deliveries and waiting for the worker's tests."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from cloudq.app import App
from cloudq.core import wire
from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import (
    Capabilities,
    DeadLetterQueue,
    ExtendResult,
    Final,
    Outgoing,
    QueueStats,
    SendResult,
    SettleResult,
)
from cloudq.core.message import Message
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendError
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings

_numbers = itertools.count(1)


def delivery(
    clock: Clock,
    *,
    task: str = "noop",
    queue: str = "q",
    lease: timedelta = timedelta(seconds=120),
    longest: timedelta | None = None,
    deliveries: int = 1,
) -> Delivery:
    """A delivery just received."""
    number = next(_numbers)
    return Delivery.of(
        wire.encode(Message(id=f"m{number}", task=task, queue=queue)),
        native_id=f"n{number}",
        runs=1,
        deliveries=deliveries,
        lease=Lease(
            queue=queue,
            receipt=number,
            ends=clock.elapsed() + lease,
            hard_end=None if longest is None else clock.elapsed() + longest,
            expires_at=clock.now() + lease,
            hard_limit=None if longest is None else clock.now() + longest,
        ),
    )


def receipts(leases: Sequence[Lease]) -> list[object]:
    """What tells leases apart."""
    return [lease.receipt for lease in leases]


def until(predicate: Callable[[], object], *, within: float = 60.0, what: str = "") -> None:
    """Polls in real time until the predicate holds; an error after `within` seconds."""
    end = time.monotonic() + within
    while not predicate():
        if time.monotonic() > end:
            raise AssertionError(f"after {within} s still not: {what or predicate}")
        time.sleep(0.002)


class Unreliable:
    """A driver over another one, each of whose methods can be made to fail, to hang or to lie for a while."""

    def __init__(self, driver: MemoryDriver) -> None:
        self.driver = driver
        self.failing: dict[str, Exception] = {}
        self.hanging: dict[str, threading.Event] = {}
        self.calls: Counter[str] = Counter()
        self.fail_copies_to: str | None = None
        self.latency = timedelta(0)

    def _enter(self, method: str) -> None:
        self.calls[method] += 1
        if self.latency:
            time.sleep(self.latency.total_seconds())  # what a call over a network takes, meanwhile others run
        hanging = self.hanging.get(method)
        if hanging is not None:
            hanging.wait()
        if method in self.failing:
            raise self.failing[method]

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        self._enter("send")
        if self.fail_copies_to is not None and any(item.queue == self.fail_copies_to for item in outgoing):
            return [SendResult(error=BackendError("not stored")) for _ in outgoing]
        return self.driver.send(outgoing)

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        self._enter("receive")
        return self.driver.receive(queue, limit=limit, wait=wait, lease=lease)

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        self._enter("settle")
        return self.driver.settle(finals)

    def extend(self, leases: Sequence[Lease], by: timedelta) -> Sequence[ExtendResult]:
        self._enter("extend")
        return self.driver.extend(leases, by)

    def interrupt(self) -> None:
        self._enter("interrupt")
        self.driver.interrupt()

    def capabilities(self, queue: str) -> Capabilities:
        return self.driver.capabilities(queue)

    def stats(self, queue: str) -> QueueStats:
        return self.driver.stats(queue)

    def purge(self, queue: str) -> int | None:
        return self.driver.purge(queue)

    def dead_letters(self, queue: str) -> DeadLetterQueue:
        return self.driver.dead_letters(queue)

    def close(self) -> None:
        self.driver.close()


class HangsOnce(threading.Event):
    """Something of `Unreliable.hanging` that holds calls only once it is true, until it is set."""

    def __init__(self, is_true: Callable[[], bool]) -> None:
        super().__init__()
        self._is_true = is_true

    def wait(self, timeout: float | None = 60.0) -> bool:
        return not self._is_true() or super().wait(timeout)


class NoText(Exception):
    """One whose text can't be had."""

    def __str__(self) -> str:
        raise SystemExit


class NoNotes(Exception):
    """One whose traceback can't be formatted."""

    @property
    def __notes__(self) -> list[str]:
        raise SystemExit


class NoThreads:
    """A machine that has no more threads to give, until it has again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tries = 0
        self.exhausted = True
        start = threading.Thread.start

        def refuse(thread: threading.Thread) -> None:
            if not self.exhausted:
                return start(thread)
            self.tries += 1
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)


def give_one_task_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the machine give one thread for tasks, and no second one."""
    start, started = threading.Thread.start, []

    def one_thread(thread: threading.Thread) -> None:
        if thread.name.startswith("cloudq-task"):
            if started:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", one_thread)


class Running:
    """A worker in a thread of its own."""

    def __init__(self, app: App, **settings: Any) -> None:
        self.worker = Worker(app, WorkerSettings(**settings))
        self.code: int | None = None
        self._thread = threading.Thread(target=self._run, name="test-worker")
        self._thread.start()

    def _run(self) -> None:
        self.code = self.worker.run()

    def stop(self, *, now: bool = False) -> int | None:
        """Stops it, and returns its exit code."""
        self.worker.stop(now=now)
        return self.join()

    def join(self) -> int | None:
        self._thread.join(60)
        assert not self._thread.is_alive(), "the worker didn't stop"
        return self.code


@contextmanager
def running(app: App, **settings: Any) -> Iterator[Running]:
    """A worker that is stopped at the end of the block."""
    worker = Running(app, **settings)
    try:
        yield worker
    finally:
        worker.stop(now=True)
