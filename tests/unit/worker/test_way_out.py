"""How a queue's settlements go: noted, told and logged in one order, each change once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.driver import Ack, SettleResult
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendUnavailable, PermissionDenied
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.testing.clock import FakeClock
from cloudq.testing.profiles import sqs_like
from cloudq.worker.way_out import Settlement, WayOut
from tests.unit.worker.intakes import held as held_by

DOWN = BackendUnavailable("down")


def settles_nothing(settlements: Sequence[Settlement]) -> Sequence[SettleResult]:
    raise AssertionError


def make(tell: Callable[[str, bool], None]) -> WayOut:
    return WayOut(CloudQueue("q", MemoryDriver(), clock=SYSTEM_CLOCK), settles_nothing, tell, SYSTEM_CLOCK)


def test_changes_are_told_in_the_order_in_which_they_are_noted() -> None:
    """A failure that is told late doesn't stay the last word after a confirmation that came after it."""
    told: list[tuple[str, bool]] = []
    inside, go_on = threading.Event(), threading.Event()

    def tell(queue: str, failing: bool) -> None:
        if failing:
            inside.set()
            go_on.wait(60)
        told.append((queue, failing))

    way = make(tell)
    failing = threading.Thread(target=way.note, args=(DOWN,))
    failing.start()
    assert inside.wait(60)
    confirming = threading.Thread(target=way.note, args=(None,))
    confirming.start()
    confirming.join(0.05)  # what isn't ordered by the lock would be told by now
    go_on.set()
    failing.join(60)
    confirming.join(60)
    assert [("q", True), ("q", False)] == told


def test_a_change_is_told_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """However many settlements fail; and again when they are confirmed."""
    caplog.set_level(logging.INFO)
    told: list[bool] = []
    way = make(lambda _, failing: told.append(failing))
    for error in (None, DOWN, DOWN, None, None):
        way.note(error)
    assert [True, False] == told
    assert [logging.WARNING, logging.INFO] == [record.levelno for record in caplog.records]


def test_a_refusal_is_not_said_again_for_a_time_out_in_between(caplog: pytest.LogCaptureFixture) -> None:
    """Refused, timed out, refused: one line, at ERROR, until a settlement is confirmed."""
    way = make(lambda _, failing: None)
    for error in (PermissionDenied("403"), DOWN, PermissionDenied("403")):
        way.note(error)
    assert [logging.ERROR] == [record.levelno for record in caplog.records]
    way.note(None)
    way.note(PermissionDenied("403"))
    assert 2 == sum("are refused" in line for line in caplog.messages)


def test_full_batches_settle_beside_one_another() -> None:
    """As many calls at once as are allowed, each with a full batch: a slow backend holds up no more than it must."""
    batches: list[int] = []
    lock, arrived, go_on = threading.Lock(), threading.Semaphore(0), threading.Event()

    def carry_out(settlements: Sequence[Settlement]) -> Sequence[SettleResult]:
        with lock:
            batches.append(len(settlements))
        arrived.release()
        assert go_on.wait(60)
        return [SettleResult()] * len(settlements)

    clock = FakeClock()  # nothing stalls
    queue = CloudQueue("q", MemoryDriver(clock=clock, capabilities=sqs_like), clock=clock)
    way = WayOut(queue, carry_out, lambda *_: None, clock, flights=6)
    landed = threading.Semaphore(0)
    for held in held_by(clock, 71):
        way.finals.post(Settlement(held, way, Ack()), lambda _: landed.release())
    for _ in range(6):
        assert arrived.acquire(timeout=60)
    assert [10] * 5 == batches[1:], "all but the first, which didn't wait for others"
    go_on.set()
    for _ in range(71):
        assert landed.acquire(timeout=60)


def test_one_thread_of_tasks_makes_calls_at_a_time() -> None:
    """The others leave theirs to flushers: a backend that hangs holds up one thread of tasks a queue."""
    way = make(lambda _, __: None)
    assert way.begin_call()
    assert not way.begin_call()
    way.end_call()
    assert way.begin_call()
