"""What the parent does with its child processes; the processes themselves are in tests/integration."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from cloudq.app import App
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.failure import Failure
from cloudq.core.outcome import ACKED, DeadLettered, Outcome, Snoozed, Why
from cloudq.core.policy import RetryPolicy
from cloudq.core.processor import Processor
from cloudq.core.run_fields import RunFields
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import ConfigurationError
from cloudq.running.held import HeldLease
from cloudq.running.runs import Runs
from cloudq.worker import children
from cloudq.worker.children import ChildExecutor, refuse_what_is_not_shared
from cloudq.worker.frames import FrameTooLarge, Hello
from cloudq.worker.intake import Intake
from tests.unit.worker.fakes import NoThreads, delivery, until
from tests.unit.worker.intakes import arrive


class FakeChild:
    """A child that does what the test says."""

    runs: Callable[[], Outcome]
    pid = 1
    born = timedelta(0)

    def __init__(self, _: Hello, reported: object = None) -> None:
        self.alive = True

    def run(self, held: HeldLease, hard_limit: timedelta | None) -> Outcome:
        return type(self).runs()

    def kill(self) -> None:
        self.alive = False

    def leave(self) -> None:
        self.alive = False


class Parent:
    """An executor of one child, and what it makes of deliveries."""

    def __init__(self, app: App) -> None:
        self.ended: SimpleQueue[Outcome] = SimpleQueue()
        self.intake = Intake(
            {"q": 1}, leases={"q": timedelta(minutes=1)}, slots=1, runs=Runs(SYSTEM_CLOCK), clock=SYSTEM_CLOCK
        )
        self.executor = ChildExecutor(
            self.intake,
            Processor(app.runtime.handlers),
            processes=1,
            app_spec=None,
            url="memory://",
            claim_check=None,
            ended=self._end,
            cannot_start=lambda: None,
        )

    def _end(self, held: HeldLease, outcome: Outcome, _: float) -> None:
        self.intake.end(held, succeeded=outcome is ACKED)
        self.ended.put(outcome)

    def offer(self) -> None:
        held = HeldLease(delivery(SYSTEM_CLOCK), SYSTEM_CLOCK.elapsed(), extendable=True)
        arrive(self.intake, "q", [held])


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Parent]:
    monkeypatch.setattr(children, "ChildProcess", FakeChild)
    monkeypatch.setattr(children, "FIRST_PAUSE", timedelta(milliseconds=1))
    monkeypatch.setattr(FakeChild, "runs", staticmethod(lambda: ACKED), raising=False)
    app = App("memory://", retry=RetryPolicy(retry=lambda state: False))

    @app.task("noop")
    def noop() -> None:
        """Runs in the child."""

    with app.using(MemoryDriver()):
        parent = Parent(app)
        yield parent
        parent.intake.close()
        parent.executor.stop()
        assert not parent.executor._servers


def test_what_is_not_believed_reaches_no_child(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child knows the settings of the module that it imports, and needn't know how signatures are looked at here."""
    dead = DeadLettered(reason="signature: none", failure=Failure(reason="signature: none"))
    monkeypatch.setattr(parent.executor._processor, "believes", lambda _: False)
    monkeypatch.setattr(parent.executor._processor, "process", lambda _: dead)
    parent.executor.start()
    parent.offer()
    assert dead == parent.ended.get(timeout=60)


def test_whatever_goes_wrong_with_a_child_costs_one_attempt(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread goes on with another child, and the slot is free."""

    def surprise() -> Outcome:
        raise ValueError("never seen before")

    with monkeypatch.context() as patch:
        patch.setattr(FakeChild, "runs", staticmethod(surprise))
        parent.executor.start()
        parent.offer()
        outcome = parent.ended.get(timeout=60)
    assert isinstance(outcome, DeadLettered)
    assert "not retried: ValueError: never seen before" == outcome.reason
    assert 1 == parent.executor.died
    parent.offer()
    assert ACKED == parent.ended.get(timeout=60)


def test_one_that_has_answered_is_not_killed_by_the_stop(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    """It follows the last end at once, while that is still being recorded; the child has its `on_stop` to call."""
    killed: list[FakeChild] = []
    stop = threading.Thread(target=parent.executor.stop)

    def stopped_meanwhile(held: HeldLease, outcome: Outcome, took: float) -> None:
        stop.start()
        until(parent.executor._stopping.is_set)
        parent._end(held, outcome, took)

    monkeypatch.setattr(FakeChild, "kill", killed.append)
    monkeypatch.setattr(parent.executor, "_ended", stopped_meanwhile)
    parent.executor.start()
    parent.offer()
    assert ACKED == parent.ended.get(timeout=60)
    parent.intake.close()
    stop.join(60)
    assert [] == killed


def test_the_run_time_of_a_child_that_died_is_that_of_the_child(
    parent: Parent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that of the parent's decision."""
    ran: list[float] = []

    def die() -> Outcome:
        time.sleep(0.2)
        raise ValueError("killed")

    def noted(_: object, __: Outcome, run: RunFields, ___: threading.Event) -> None:
        ran.append(time.monotonic() - run.began)

    monkeypatch.setattr(parent.executor._processor, "_log_end", noted)
    monkeypatch.setattr(FakeChild, "runs", staticmethod(die))
    parent.executor.start()
    parent.offer()
    parent.ended.get(timeout=60)
    assert 0.2 <= ran[0] < 10


def test_what_is_too_large_for_a_child_costs_no_child(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails by its policy, and the child, to which nothing was said, isn't killed."""

    def too_large() -> Outcome:
        raise FrameTooLarge("a frame of 2 bytes is longer than 1")

    monkeypatch.setattr(FakeChild, "runs", staticmethod(too_large))
    parent.executor.start()
    parent.offer()
    assert isinstance(parent.ended.get(timeout=60), DeadLettered)
    assert (0, [1]) == (parent.executor.died, parent.executor.pids)
    assert all(child.alive for child in parent.executor._children)


def test_without_a_thread_children_start_later(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no thread to give doesn't end the worker; it tries again, and has as many as asked for."""
    machine = NoThreads(monkeypatch)
    parent.executor.start()
    parent.offer()
    assert parent.executor.starved
    machine.exhausted = False
    parent.executor.more()
    parent.executor.more()
    assert ACKED == parent.ended.get(timeout=60)
    assert not parent.executor.starved
    assert 1 == parent.executor._servers


def test_a_thread_that_ended_is_replaced(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ended it: as long as the worker works, each child has a thread that keeps it."""

    def broken(*_: object) -> FakeChild:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(children, "ChildProcess", broken)
        parent.executor.start()
        until(lambda: not parent.executor._servers)
    parent.offer()
    # As the worker does, again and again: at the first time the one that ended may not be gone yet.
    until(lambda: parent.executor.more() or not parent.ended.empty())
    assert ACKED == parent.ended.get(timeout=60)


def test_an_unknown_task_takes_no_child(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent decides, which remembers since when it is unknown; the child would say that it is done."""
    held = HeldLease(delivery(SYSTEM_CLOCK, task="theirs"), SYSTEM_CLOCK.elapsed(), extendable=True)
    parent.executor.start()
    arrive(parent.intake, "q", [held])
    outcome = parent.ended.get(timeout=60)
    assert isinstance(outcome, Snoozed)
    assert outcome.why is Why.UNKNOWN_TASK


def test_a_child_does_as_its_parent_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is itself started with `-P`; whether folders go on the import path was decided when the parent was started."""
    app = App("memory://")
    assert sys.flags.safe_path is Parent(app).executor._hello.safe_path
    safe = {name: getattr(sys.flags, name) for name in dir(sys.flags) if not name.startswith("_")}
    monkeypatch.setattr(sys, "flags", SimpleNamespace(**safe | {"safe_path": True}))
    assert Parent(app).executor._hello.safe_path


# ── what is not shared ───────────────────────────────────────────────────────────────────────────────────


def test_a_store_that_lives_in_one_process_is_refused(tmp_path):
    """Each child would claim the same key in its own."""
    url, memory = f"sqlite:///{tmp_path}/shop.db", MemoryDriver().capabilities("q")
    shared = replace(memory, shared=True)
    refuse_what_is_not_shared(App(url), [shared])
    refuse_what_is_not_shared(App(url, store="none"), [shared])
    with pytest.raises(ConfigurationError, match="a store in memory lives in one process"):
        refuse_what_is_not_shared(App(url, store="memory://"), [shared])


@pytest.mark.parametrize("scheme", ["memory", "MEMORY"])
def test_a_claim_check_store_that_lives_in_one_process_is_refused(tmp_path, scheme: str):
    """What a child stores there for a message that it sends would be gone with it, and seen by no other."""
    url, memory = f"sqlite:///{tmp_path}/shop.db", MemoryDriver().capabilities("q")
    shared = replace(memory, shared=True)
    refuse_what_is_not_shared(App(url, claim_check=f"file://{tmp_path}/payloads"), [shared])
    with pytest.raises(ConfigurationError, match="a claim-check store in memory lives in one process"):
        refuse_what_is_not_shared(App(url, claim_check=f"{scheme}://payloads?threshold=1024"), [shared])


@pytest.mark.parametrize("busy", [True, False])
def test_at_the_end_only_a_child_that_runs_a_task_is_killed(
    parent: Parent, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    """One that has nothing to do ends by itself, and has its time to tidy up."""
    killed, running = threading.Event(), threading.Event()

    def runs() -> Outcome:
        running.set()
        if busy:
            killed.wait(20)
        return ACKED

    monkeypatch.setattr(FakeChild, "runs", staticmethod(runs))
    monkeypatch.setattr(FakeChild, "kill", lambda child: killed.set())
    parent.executor.start()
    parent.offer()
    assert running.wait(60)
    if not busy:
        assert ACKED == parent.ended.get(timeout=60)
        until(lambda: not parent.executor._busy)
    parent.intake.close()
    parent.executor.stop()
    assert busy == killed.is_set()


def test_a_child_that_is_ready_only_at_the_end_is_not_killed(parent: Parent, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has started what it tidies up, too."""
    left, killed = threading.Event(), threading.Event()

    def late(_: Hello, reported: object = None) -> FakeChild:
        parent.intake.close()
        parent.executor._stopping.set()
        return FakeChild(_)

    monkeypatch.setattr(children, "ChildProcess", late)
    monkeypatch.setattr(FakeChild, "leave", lambda child: left.set())
    monkeypatch.setattr(FakeChild, "kill", lambda child: killed.set())
    parent.executor.start()
    assert left.wait(60)
    assert not killed.is_set()
