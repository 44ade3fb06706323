"""The emulator as a program has it: its life, its clock, what it tells about attempts."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from cloudq.emulators.cloud_tasks import CloudTasksEmulator, End, ManualClock, PortTaken, Problem
from cloudq.emulators.cloud_tasks.ports import place
from cloudq.testing import FakeClock
from tests.unit.emulators.cloud_tasks.bench import QUEUE
from tests.unit.emulators.cloud_tasks.worker import Worker


def test_a_task_is_pushed_and_its_attempt_is_listed(lab):
    """What a client creates is pushed to its URL at once, and the attempt can be asked for."""
    task = lab.create(request={"body": b"hello"})
    lab.settle()
    assert [received.body for received in lab.worker.received] == [b"hello"]
    [attempt] = lab.emulator.attempts(QUEUE)
    assert (attempt.task, attempt.status, attempt.end, attempt.number) == (task.name, 200, End.SUCCEEDED, 1)
    assert lab.emulator.attempts(task.name) == [attempt]
    assert lab.emulator.attempts(f"{QUEUE}-other") == []
    lab.emulator.clear_attempts()
    assert lab.emulator.attempts() == []


def test_moving_the_clock_dispatches_what_becomes_due(lab):
    """A task for later is pushed when the clock is moved to its time, without waiting, and not before."""
    lab.create(schedule_time=lab.clock.now() + timedelta(days=10))
    lab.advance(days=9, hours=23)
    assert lab.worker.received == []
    assert lab.emulator.next_at() == lab.clock.now() + timedelta(hours=1)
    lab.advance(hours=1)
    assert len(lab.worker.received) == 1


def test_a_fake_clock_of_cloudq_serves_too():
    """Any object that has `now()` is a clock; `wait_idle` looks at the time."""
    clock, worker = FakeClock(), Worker()
    try:
        with CloudTasksEmulator(clock=clock, queues=[QUEUE]) as emulator:
            task = {"http_request": {"url": worker.url}, "schedule_time": clock.now() + timedelta(hours=1)}
            emulator.client().create_task(parent=QUEUE, task=task)
            emulator.wait_idle()
            assert worker.received == []
            clock.advance(timedelta(hours=1))
            emulator.wait_idle()
            assert len(worker.received) == 1
            emulator.advance(timedelta(hours=1))
            assert clock.now() == emulator.clock.now()
    finally:
        worker.close()


def test_a_taken_port_is_an_error():
    """Two emulators can't share a port, for calls or for certificates."""
    with CloudTasksEmulator() as first:
        port = int(first.address.rpartition(":")[2])
        with pytest.raises(PortTaken, match=rf":{port}: .*in use"):
            CloudTasksEmulator(port=port).start()
        port = int(first.certs_address.rpartition(":")[2])
        with pytest.raises(PortTaken, match=rf":{port}: .*in use"):
            CloudTasksEmulator(certs_port=port).start()


def test_it_starts_again_after_a_stop():
    """An emulator that was stopped can be started again, empty; a second stop does nothing."""
    emulator = CloudTasksEmulator(queues=[QUEUE])
    for _ in range(2):
        emulator.start()
        assert [queue.name for queue in emulator.client().list_queues(parent=QUEUE.rpartition("/queues/")[0])] == [
            QUEUE
        ]
        emulator.stop()
        emulator.stop()
    with pytest.raises(RuntimeError, match="isn't running"):
        emulator.wait_idle()


def test_a_move_dispatches_without_being_asked(lab):
    """Whoever moves the clock elsewhere needn't tell the emulator."""
    lab.create(schedule_time=lab.clock.now() + timedelta(days=1))
    lab.clock.advance(timedelta(days=1))
    assert lab.worker.arrived.wait(60)


def test_the_machines_clock_cant_be_moved():
    """`advance` on the machine's own clock says what to use."""
    with CloudTasksEmulator() as emulator, pytest.raises(TypeError, match="ManualClock"):
        emulator.advance(timedelta(1))


def test_ipv6_addresses_are_in_brackets():
    """Where a port follows the host."""
    assert [place("::1", 80), place("127.0.0.1", 80)] == ["[::1]:80", "127.0.0.1:80"]


def test_a_wrong_name_is_heard_of():
    """What can't be created at the start is said to whoever starts it, and nothing keeps running."""
    before = set(threading.enumerate())
    with pytest.raises(Problem, match="Queue name must be formatted"):
        CloudTasksEmulator(queues=["emails"]).start()
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if thread.name == "cloud-tasks-emulator"]


def test_waiting_for_idle_has_an_end(lab):
    """An attempt that doesn't end makes `wait_idle` raise in the end."""
    lab.worker.gate.clear()
    lab.create()
    with pytest.raises(TimeoutError, match=r"wasn't idle within 0\.05 s"):
        lab.emulator.wait_idle(timedelta(seconds=0.05))
    lab.worker.gate.set()
    lab.settle()


def test_the_clock_moves_forwards_only():
    """A clock that is moved backwards says so."""
    clock = ManualClock()
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(timedelta(seconds=-1))
    with pytest.raises(ValueError, match="no UTC offset"):
        ManualClock(clock.now().replace(tzinfo=None))
