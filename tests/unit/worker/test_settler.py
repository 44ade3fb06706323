"""The settler: what is finished is settled once, however its backend behaves meanwhile."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.app import App
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Ack, Final, Release
from cloudq.core.failure import Failure
from cloudq.core.outcome import ACKED, DeadLettered, Outcome, Retried
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendUnavailable, LeaseLost, MessageTooLarge, PermissionDenied, QueueNotFound
from cloudq.running.lease_life import State
from cloudq.worker import finals as finals_module
from cloudq.worker.finals import REFUSED_AT_SHUTDOWN
from tests.unit.worker.fakes import Unreliable, running, until
from tests.unit.worker.settling import DOWN, LEASE, SECOND, Bench


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.settler.close()
    until(lambda: bench.clock.advance(60 * SECOND) or not bench.clock.waiting)  # so that no thread waits for ever


def test_what_succeeded_is_deleted_and_out_of_hand(bench: Bench) -> None:
    """One Ack; the lease has ended, the books hear of it, and so does whoever deletes payloads."""
    held = bench.held()
    bench.end(held)
    until(lambda: bench.books.out["q"] == 1)
    assert [Final(lease=held.delivery.lease, step=Ack())] == bench.settled
    assert State.ENDED is held.life.state
    until(lambda: bench.deleted == [held.delivery])


def test_a_delete_that_hangs_beside_an_extension_is_tried_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """The extension's LeaseLost says that the delete may have won. It failed: it is tried again, not given up."""
    land = threading.Event()
    bench.before_answer = lambda: land.wait(60)  # type: ignore[assignment,return-value]  # its result is dropped
    bench.errors["q"], bench.extend_error = DOWN, LeaseLost("settled, or about to be")
    held = bench.held()
    bench.end(held)
    until(lambda: bench.settled)
    bench.clock.advance(LEASE / 4)
    held.life.extend_at = bench.clock.elapsed()  # half of the lease has gone, however short it is
    bench.keeper.tick(bench.clock.elapsed())
    land.set()
    until(lambda: bench.books.told)
    assert not held.lost.is_set()
    bench.errors.clear()
    bench.pass_time_until(lambda: bench.books.out["q"])
    assert (2, 1) == (len(bench.settled), bench.books.out["q"])
    assert not [line for line in caplog.messages if "given up" in line or "lost the lease" in line]


def test_a_queue_that_fails_holds_up_no_other(bench: Bench) -> None:
    """What is told is told of that queue alone, and the other one settles."""
    bench.errors["bad"] = DOWN
    bench.end(bench.held("bad"))
    until(lambda: bench.books.told)
    bench.end(bench.held("good"))
    until(lambda: bench.books.out["good"] == 1)
    assert [("bad", True)] == bench.books.told
    bench.errors.clear()
    bench.pass_time_until(lambda: bench.books.out["bad"])
    assert [("bad", True), ("bad", False)] == bench.books.told


@pytest.mark.parametrize("error", [PermissionDenied("403"), QueueNotFound("gone")])
def test_a_refusal_is_said_once_and_outlasted(bench: Bench, error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """For 20 s a key is being rotated: each finished task is acknowledged once that is over, and ran once."""
    caplog.set_level(logging.INFO)
    bench.errors["q"] = error
    held = [bench.held() for _ in range(3)]
    for one in held:
        bench.end(one)
    until(lambda: len(bench.settled) >= 3)
    bench.pass_time(20 * SECOND)
    assert 0 == bench.books.out["q"]
    tries = len(bench.settled)
    assert tries < 3 * 20
    bench.errors.clear()
    bench.pass_time_until(lambda: bench.books.out["q"] == 3)
    assert [False] * 3 == [one.lost.is_set() for one in held]
    assert 3 == bench.books.out["q"] == len(bench.settled) - tries
    refusals = [record for record in caplog.records if "are refused" in record.message]
    assert [logging.ERROR] == [record.levelno for record in refusals]
    assert any(text.startswith("settlements of queue q are confirmed again, after 2") for text in caplog.messages)


def test_a_refusal_ends_with_the_lease(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """What is refused until its lease is over is given up: its message comes back."""
    bench.errors["q"] = PermissionDenied("403")
    held = bench.held()
    bench.end(held)
    bench.pass_time_until(lambda: bench.books.out["q"])
    assert 1 == bench.books.out["q"]
    assert held.over(bench.clock.elapsed())
    assert 1 == sum("given up" in line for line in caplog.messages)


def test_lease_lost_is_given_up_at_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """It may run a second time, which is counted and said; it isn't tried again."""
    bench.errors["q"] = LeaseLost("gone")
    bench.end(bench.held())
    until(lambda: bench.books.out["q"] == 1)
    assert (1, 1) == (len(bench.settled), bench.settler.late)
    assert any("may run a second time" in line for line in caplog.messages)
    assert [] == bench.books.told


@pytest.mark.parametrize("step", [timedelta(0), timedelta(hours=1), timedelta(hours=-1)])
def test_a_shutdown_gives_a_refusing_queue_three_seconds(bench: Bench, step: timedelta) -> None:
    """What is refused is given up then, even if the clock is set meanwhile; what only fails is tried on."""
    bench.errors.update(refused=QueueNotFound("gone"), failing=DOWN)
    bench.end(bench.held("refused"))
    bench.end(bench.held("failing"))
    until(lambda: len(bench.books.told) == 2)
    bench.settler.shut_down()
    began = bench.clock.elapsed()
    bench.clock.step(step)
    bench.pass_time_until(lambda: bench.books.out["refused"])
    took = bench.clock.elapsed() - began
    assert REFUSED_AT_SHUTDOWN <= took < 10 * SECOND  # and not the 30 of what only fails
    assert 0 == bench.books.out["failing"]
    bench.errors.clear()
    bench.pass_time_until(lambda: bench.books.out["failing"])
    assert 1 == bench.books.out["failing"]


def test_retries_do_not_wait_for_slow_payload_stores(bench: Bench) -> None:
    """Though every deletion of a payload hangs, what failed to settle is tried again."""
    hanging, go_on = [], threading.Event()

    def hang(one: Delivery) -> None:
        hanging.append(one)
        go_on.wait(20)

    bench.settler._finals._acked = hang
    for _ in range(4):
        bench.end(bench.held())
    until(lambda: bench.books.out["q"] == 4 and len(hanging) == finals_module.PAYLOAD_DELETIONS)
    bench.errors["q"] = DOWN
    bench.end(bench.held())
    until(lambda: bench.books.told)
    bench.errors.clear()
    try:
        bench.pass_time_until(lambda: bench.books.out["q"] == 5)
        assert 5 == bench.books.out["q"]
    finally:
        go_on.set()


def test_a_payload_is_kept_where_the_message_may_run_again(bench: Bench) -> None:
    """A confirmation after the lease's end: somebody else may have the message, and needs it."""
    held = bench.held()
    bench.clock.advance(LEASE)
    bench.end(held)
    until(lambda: bench.books.out["q"] == 1)
    bench.settler._finals._payloads.submit(lambda: bench.deleted.append(held.delivery))
    until(lambda: bench.deleted)
    assert 1 == len(bench.deleted)


@pytest.mark.parametrize("step", [ACKED, Retried(delay=SECOND, reason="again")], ids=["ack", "copy"])
def test_a_machine_without_threads_costs_a_retry(bench: Bench, step: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    """`settle` doesn't raise: what couldn't be handed to a thread is tried again, or its message stays."""
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    bench.end(bench.held(), step)
    assert 0 == bench.books.out["q"]
    monkeypatch.setattr(threading.Thread, "start", start)
    bench.settler.catch_up()
    bench.pass_time_until(lambda: bench.books.out["q"])
    assert 1 == bench.books.out["q"]
    assert [] == bench.stored
    assert isinstance(bench.settled[-1].step, Ack if step is ACKED else Release)


def test_what_nobody_understands_is_left_to_its_lease(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A middleware may return anything: the worker goes on, and the message comes back."""
    held = bench.held()
    bench.end(held, object())  # type: ignore[arg-type]  # what a broken middleware returns
    assert (1, State.ENDED) == (bench.books.out["q"], held.life.state)
    assert any("can't be settled" in line for line in caplog.messages)


def test_a_release_is_not_sent_after_the_lease(bench: Bench) -> None:
    """Neither at first nor when it is tried again: it could take the message from its next holder."""
    bench.errors["q"] = DOWN
    held = bench.held()
    bench.settler.release([held], counted=False)
    until(lambda: bench.settled)
    bench.pass_time_until(lambda: bench.books.out["q"])
    tries = len(bench.settled)
    assert tries > 1
    assert all(at < held.ends for at in bench.settled_at)
    late = bench.held()
    bench.clock.advance(LEASE)
    bench.settler.release([late], counted=False)
    assert (tries, 2) == (len(bench.settled), bench.books.out["q"])


def test_a_settlement_is_tried_until_the_lease_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond settle_timeout the lease isn't extended, but while it lasts finished work is still acknowledged."""
    monkeypatch.setattr(finals_module, "LONGEST_PAUSE", timedelta(milliseconds=20))
    driver = Unreliable(MemoryDriver())
    app = App("memory://")
    runs: list[int] = []
    app.task("once")(lambda: runs.append(1))
    driver.failing["settle"] = BackendUnavailable("down")
    with app.using(driver):
        app.send("once")
        with running(app, settle_timeout=timedelta(milliseconds=50)) as worker:
            # Each try is made only if the one before didn't give up: five take longer than the time-out.
            until(lambda: driver.calls["settle"] >= 5)
            del driver.failing["settle"]
            until(lambda: not worker.worker.snapshot().settling)
        stats = app.queue("default").stats()
    assert [1] == runs
    assert (0, 0) == (stats.ready, stats.in_flight)


def test_a_settlement_is_given_up_when_the_lease_is_over() -> None:
    """What can't be settled while its lease lasts is dropped, and handed over again; done here, it isn't run again."""
    driver = Unreliable(MemoryDriver())
    app = App("memory://")
    runs: list[int] = []
    app.task("often")(lambda: runs.append(1))
    driver.failing["settle"] = BackendUnavailable("down")
    with app.using(driver):
        app.send("often")
        with running(app, lease=timedelta(milliseconds=250), settle_timeout=timedelta(milliseconds=50)) as worker:
            until(lambda: worker.worker.snapshot().lease_lost >= 2, what="its redelivery can't be settled either")
            del driver.failing["settle"]
            until(lambda: in_queue(app) == 0)
    assert [1] == runs


def test_what_is_given_back_by_a_copy_is_not_leased_for_ever(bench: Bench) -> None:
    """Its queue confirms nothing: its lease is extended for settle_timeout at most, as where a handler has ended."""
    bench.errors["q"] = DOWN
    bench.settler.give_back(bench.held(), timedelta(0))
    bench.pass_time_until(lambda: bench.books.out["q"] == 1)
    assert timedelta(seconds=30) <= bench.clock.elapsed() <= timedelta(seconds=35) + LEASE


def in_queue(app: App) -> int:
    stats = app.queue("default").stats()
    return (stats.ready or 0) + (stats.delayed or 0) + (stats.in_flight or 0)


def test_what_was_done_and_could_not_be_told_is_remembered(bench: Bench) -> None:
    """The lease was over before the deletion, or while it was tried again: the message comes again, its work is done.

    What was released runs again.
    """
    done, late, released = bench.held("done"), bench.held("late"), bench.held("released")
    bench.errors = {"done": LeaseLost("gone"), "late": DOWN, "released": LeaseLost("gone")}
    bench.end(done)
    bench.end(released, Retried(delay=timedelta(0), reason="it broke"))
    bench.end(late)
    bench.pass_time_until(lambda: sum(bench.books.out.values()) == 3)
    assert {done.delivery.id, late.delivery.id} == {one.id for one in bench.done}


def test_what_is_done_is_remembered_before_its_lease_is_over(bench: Bench) -> None:
    """The lease may end while its settlement waits for the next try. The message is handed over again at that moment.

    What failed is not remembered, nor what is settled at the first try.
    """
    done, failed, settled = bench.held("done"), bench.held("failed"), bench.held("settled")
    bench.errors = {"done": DOWN, "failed": DOWN}
    bench.end(settled)
    bench.end(failed, Retried(delay=timedelta(0), reason="it broke"))
    bench.end(done)
    bench.pass_time_until(lambda: {"done", "failed"} == {queue for queue, _ in bench.books.told})
    bench.pass_time_until(lambda: bench.done)
    assert not done.lost.is_set()
    assert {done.delivery.id} == {one.id for one in bench.done}
    assert all(one is done.delivery for one in bench.done)


@pytest.mark.parametrize("error", [MessageTooLarge("too large"), QueueNotFound("no such queue")])
def test_a_dead_letter_that_cannot_be_stored_is_remembered(bench: Bench, error: Exception) -> None:
    """The message stays and comes again; whoever remembers it is told what is to become of it."""
    bench.copy_error = error
    held, outcome = bench.held(), DeadLettered(reason="gave up", failure=Failure(reason="gave up"))
    bench.end(held, outcome)
    until(lambda: bench.books.out["q"] == 1)
    assert [(held.delivery, outcome)] == bench.dead
    assert isinstance(bench.settled[0].step, Release)


def test_a_retry_whose_copy_is_too_large_is_released_for_as_long_as_it_is_to_wait(bench: Bench) -> None:
    """No later copy fits either; nothing else is remembered of it."""
    bench.capabilities = replace(bench.capabilities, max_release=timedelta(hours=12))
    bench.copy_error = MessageTooLarge("too large")
    bench.end(bench.held(), Retried(delay=timedelta(minutes=5), reason="it broke"))
    until(lambda: bench.books.out["q"] == 1)
    assert [Release(delay=timedelta(minutes=5))] == [final.step for final in bench.settled]
    assert [] == bench.dead


def test_a_dead_letter_that_is_stored_leaves_nothing_to_do(bench: Bench) -> None:
    """Its message can't be deleted in time, and comes again: it isn't run again. Its payload stays where it is."""
    bench.errors["q"] = LeaseLost("gone")
    held = bench.held()
    bench.end(held, DeadLettered(reason="gave up", failure=Failure(reason="gave up")))
    until(lambda: bench.books.out["q"] == 1)
    assert ([held.delivery], [], []) == (bench.done, bench.deleted, bench.dead)


@pytest.mark.parametrize("error", [DOWN, LeaseLost("gone")])
def test_what_could_not_be_dead_lettered_natively_is_remembered(bench: Bench, error: Exception) -> None:
    """The backend couldn't be told in time: the message comes again, and isn't run after its last attempt."""
    bench.capabilities = replace(bench.capabilities, native_dead_letter=True)
    bench.errors["q"] = error
    held, outcome = bench.held(), DeadLettered(reason="gave up", failure=Failure(reason="gave up"))
    bench.end(held, outcome)
    until(lambda: bench.settled)
    until(lambda: bench.dead)
    assert (held.delivery, outcome) == bench.dead[0]
    assert [] == bench.done
