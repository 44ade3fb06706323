"""A push waits for an earlier run of its message, and for a slot; nothing starts that nobody waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from cloudq import App, Context
from cloudq.core.push import PushResponse
from cloudq.push import PushEdge, PushSettings
from cloudq.push.hang_up import HangUp
from cloudq.running.runs import runs_of
from cloudq.testing.clock import FakeClock
from tests.unit.push.fakes import OPEN, Gate, declare, edge_of, passes_until_lost, push, pushed
from tests.unit.worker.fakes import until

MINUTE = {"cloudq-deadline": "60"}


def sync(edge: PushEdge, headers: dict[str, str], body: bytes, hang_up: HangUp | None = None) -> PushResponse:
    return edge.handle(headers, lambda: body, hang_up)


def on_a_loop(edge: PushEdge, headers: dict[str, str], body: bytes, hang_up: HangUp | None = None) -> PushResponse:
    async def read() -> bytes:
        return body

    return asyncio.run(edge.ahandle(headers, read, hang_up))


BOTH = pytest.mark.parametrize("answer", [sync, on_a_loop], ids=["thread", "loop"])


def waits_for_a_run(app: App) -> bool:
    """Whether a push waits for an earlier run of its message. It is in hand, and its deadline set, before that."""
    return any(run._waiting for run in list(runs_of(app)._by_message.values()))


def gated(app: App) -> Gate:
    gate = Gate()

    @app.task("t")
    def task(name: str) -> None:
        gate(name)

    return gate


@BOTH
def test_a_redelivery_waits_for_the_first_run_and_is_acknowledged_with_it(backend, answer):
    """While a message runs, a redelivery of it doesn't; once it has succeeded nothing is left to do."""
    app, _ = backend
    gate = gated(app)
    with edge_of(app) as edge, ThreadPoolExecutor(2) as pool:
        first = pool.submit(answer, edge, *push("t", {"name": "first"}))
        gate.wait_started()
        again = pool.submit(answer, edge, *push("t", {"name": "first"}, retries=1))
        until(lambda: waits_for_a_run(app))
        assert not again.done()
        gate.goes_on.set()
        assert [200, 200] == [first.result(60).status, again.result(60).status]
        assert ["first"] == gate.ran
        assert 200 == answer(edge, *push("t", {"name": "first"}, retries=2)).status
    assert ["first", "first"] == gate.ran, "the service was told of the success, so what comes now is new to it"


@BOTH
def test_a_redelivery_runs_once_the_first_run_has_failed(backend, answer):
    """It has waited for it: then it has its own turn."""
    app, _ = backend
    started, goes_on = threading.Event(), threading.Event()
    ran: list[str] = []

    @app.task("t")
    def task(name: str) -> None:
        ran.append(name)
        if name == "first":
            started.set()
            goes_on.wait(60)
            raise ValueError("no")

    with edge_of(app) as edge, ThreadPoolExecutor(2) as pool:
        first = pool.submit(answer, edge, *push("t", {"name": "first"}))
        assert started.wait(60)
        again = pool.submit(answer, edge, *push("t", {"name": "again"}, retries=1))
        until(lambda: waits_for_a_run(app))
        goes_on.set()
        assert [200, 200] == [first.result(60).status, again.result(60).status]
    assert ["first", "again"] == ran


@BOTH
def test_a_redelivery_waits_for_half_its_lease_at_most(answer):
    """Then it is answered so that it comes again; another message runs meanwhile."""
    clock = FakeClock()
    with pushed(clock=clock) as (app, _), edge_of(app) as edge, ThreadPoolExecutor(2) as pool:
        gate = gated(app)
        first = pool.submit(answer, edge, *push("t", {"name": "first"}))
        gate.wait_started()
        again = pool.submit(answer, edge, *push("t", {"name": "again"}, headers=MINUTE))
        until(lambda: waits_for_a_run(app))
        clock.advance(timedelta(seconds=29))
        assert not again.done()
        clock.advance(timedelta(seconds=1))
        assert 500 == again.result(60).status
        gate.goes_on.set()
        assert 200 == first.result(60).status
        assert 200 == answer(edge, *push("t", {"name": "other"}, id="m2")).status
    assert ["first", "other"] == gate.ran


@BOTH
def test_a_redelivery_that_waits_is_sent_away_by_a_stop(backend, answer):
    """With 503, so that another worker has it; the first run goes on."""
    app, _ = backend
    gate = gated(app)
    with edge_of(app) as edge, ThreadPoolExecutor(2) as pool:
        first = pool.submit(answer, edge, *push("t", {"name": "first"}))
        gate.wait_started()
        again = pool.submit(answer, edge, *push("t", {"name": "again"}, retries=1))
        until(lambda: waits_for_a_run(app))
        edge.stop()
        assert 503 == again.result(60).status
        gate.goes_on.set()
        assert 200 == first.result(60).status


@BOTH
def test_a_push_whose_time_is_over_when_it_has_arrived_is_not_started(answer):
    """Its body came after its deadline: the service pushes it again, and this one would run beside that."""
    clock = FakeClock()
    with pushed(clock=clock) as (app, _), edge_of(app) as edge:
        ran = []
        app.task("t")(lambda: ran.append(1))
        headers, body = push("t", headers=MINUTE)

        def late() -> bytes:
            clock.advance(timedelta(seconds=60))
            return body

        async def alate() -> bytes:
            return late()

        if answer is sync:
            assert 500 == edge.handle(headers, late).status
        else:
            assert 500 == asyncio.run(edge.ahandle(headers, alate)).status
        assert (0, 0) == (edge.snapshot().started, edge.admission.in_hand)
        assert 200 == answer(edge, *push("t", headers=MINUTE)).status
    assert [1] == ran


def _time_passes(clock: FakeClock, hang_up: HangUp) -> None:
    del hang_up
    clock.advance(timedelta(seconds=61))


def _sender_hangs_up(clock: FakeClock, hang_up: HangUp) -> None:
    del clock
    hang_up.report()


@BOTH
@pytest.mark.parametrize("end", [_time_passes, _sender_hangs_up])
def test_what_waited_for_a_slot_for_too_long_is_not_started(answer, end: Callable[[FakeClock, HangUp], None]):
    """Whether its lease is over or its sender has hung up, nobody would hear of it. Its slot is free for others."""
    clock = FakeClock()
    settings = PushSettings(insecure_no_auth=True, concurrency=1, waiting=1, patience=timedelta(hours=1))
    with pushed(clock=clock) as (app, _), edge_of(app, settings) as edge, ThreadPoolExecutor(2) as pool:
        gate = gated(app)
        hang_up = HangUp()
        first = pool.submit(answer, edge, *push("t", {"name": "first"}, id="1"))
        gate.wait_started()
        second = pool.submit(answer, edge, *push("t", {"name": "second"}, id="2", headers=MINUTE), hang_up)
        until(lambda: edge.admission.waiting)
        end(clock, hang_up)
        assert 500 == second.result(60).status
        assert 0 == edge.admission.waiting
        gate.goes_on.set()
        assert 200 == first.result(60).status
        assert 200 == answer(edge, *push("t", {"name": "third"}, id="3")).status
        assert 200 == answer(edge, *push("t", {"name": "second"}, id="2")).status
    assert ["first", "third", "second"] == gate.ran


@BOTH
@pytest.mark.parametrize("hour", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_step_of_the_wall_clock_is_no_time(answer, hour):
    """Set by an hour while a push waits for its slot, it neither ends its wait or its lease nor makes them longer."""
    clock = FakeClock()
    settings = PushSettings(insecure_no_auth=True, concurrency=1, waiting=1, patience=timedelta(seconds=30))
    with pushed(clock=clock) as (app, _), edge_of(app, settings) as edge, ThreadPoolExecutor(2) as pool:
        gate = Gate()
        contexts: list[Context] = []

        @app.task("t")
        async def task(context: Context, name: str) -> None:
            contexts.append(context)
            await asyncio.to_thread(gate, name)

        first = pool.submit(answer, edge, *push("t", {"name": "first"}, id="1", headers=MINUTE))
        gate.wait_started()
        second = pool.submit(answer, edge, *push("t", {"name": "second"}, id="2", headers=MINUTE))
        until(lambda: edge.admission.waiting)
        clock.step(hour)
        clock.advance(timedelta(seconds=1))
        assert not second.done()
        assert not contexts[0].lease_lost.wait(0.1)
        clock.advance(timedelta(seconds=30))  # its patience may begin only now, a moment after it is counted
        assert 429 == second.result(60).status
        assert not contexts[0].lease_lost.is_set()
        clock.advance(timedelta(seconds=29))
        passes_until_lost(clock, contexts[0].lease_lost)
        gate.goes_on.set()
        assert 200 == first.result(60).status


def test_a_request_that_is_cancelled_while_it_waits_gives_its_place_back(backend):
    """Also in the moment in which its slot is there: somebody else has it then."""
    app, _ = backend
    gate = gated(app)

    async def cancelled(edge: PushEdge) -> None:
        async def answer(name: str) -> PushResponse:
            headers, body = push("t", {"name": name}, id=name)

            async def read() -> bytes:
                return body

            return await edge.ahandle(headers, read)

        first = asyncio.create_task(answer("1"))
        await asyncio.to_thread(gate.wait_started)
        second = asyncio.create_task(answer("2"))
        while not edge.admission.waiting:
            await asyncio.sleep(0.002)
        gate.goes_on.set()
        while edge.admission.waiting:  # without the loop: the second can't notice that its slot is there
            threading.Event().wait(0.002)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert 200 == (await first).status
        assert 200 == (await answer("3")).status

    settings = PushSettings(insecure_no_auth=True, concurrency=1, waiting=1)
    with edge_of(app, settings) as edge:
        asyncio.run(cancelled(edge))
    assert ["1", "3"] == gate.ran
    assert OPEN.patience == settings.patience


@BOTH
def test_a_slot_is_given_back_whatever_is_raised(backend, answer, monkeypatch):
    """Or one unforeseen error after the other would take them all, and nothing would run any more."""
    app, _ = backend
    ran = declare(app)
    with edge_of(app, PushSettings(insecure_no_auth=True, concurrency=1, waiting=0)) as edge:
        with monkeypatch.context() as patch:
            patch.setattr(HangUp, "look", fail)
            assert 500 == answer(edge, *push("t", {"n": 1}, id="1")).status
        assert 200 == answer(edge, *push("t", {"n": 2}, id="2")).status
    assert [2] == ran


def fail(*_: object) -> bool:
    raise RuntimeError("unforeseen")
