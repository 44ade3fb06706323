"""A watched run: it stops at the point that it is told to stop at, and reaches nothing once it is over."""

from __future__ import annotations

import threading
from datetime import timedelta
from threading import Event

import pytest

from cloudq import App
from cloudq.core.delivery import Delivery, Lease
from cloudq.testing import FakeClock
from cloudq.testing.redelivery import watched
from cloudq.testing.redelivery.lines import code_of
from cloudq.testing.redelivery.points import Crash, crash_point, watching
from cloudq.testing.redelivery.watched import ACKNOWLEDGING, AFTER, BEFORE, WatchedHandler, WatchedRun


def test_it_counts_what_it_reaches():
    """In order."""
    run = WatchedRun()
    run.reach("a")
    run.reach("b")
    assert ["a", "b"] == run.points


def test_it_crashes_at_its_point():
    """At the number that was given, whatever is there."""
    run = WatchedRun(crash_at=1)
    run.reach("a")
    with pytest.raises(Crash):
        run.reach("b")
    assert "b" == run.crashed_at


def test_a_task_that_stops_the_crash_crashes_at_its_end():
    """`except BaseException` stops what no code stops in reality; what tidies up isn't interrupted."""
    run = WatchedRun(crash_at=0)
    with pytest.raises(Crash):
        run.reach("a")
    run.reach("rolls back")
    for end in (AFTER, ACKNOWLEDGING):
        with pytest.raises(Crash):
            run.reach(end)
    assert ("a", ["a"]) == (run.crashed_at, run.points)


def test_it_waits_where_it_is_paused():
    """Until it is asked to go on, in its own thread."""
    run = WatchedRun(pause_at=0)
    reached = []

    def work():
        run.reach("a")
        reached.append("beyond")
        run.end()

    thread = threading.Thread(target=work)
    thread.start()
    assert run.stopped.wait(30)
    assert ("a", [], False) == (run.paused_at, reached, run.is_over)
    run.go_on()
    assert run.stopped.wait(30)
    thread.join(30)
    assert (["beyond"], True) == (reached, run.is_over)


def test_a_pause_that_nobody_ends_is_a_crash(monkeypatch):
    """A test run that was interrupted leaves no thread behind."""
    monkeypatch.setattr(watched, "PATIENCE", 0.01)
    with pytest.raises(Crash):
        WatchedRun(pause_at=0).reach("a")


def test_nothing_is_reached_once_it_is_over():
    """A thread that the task left behind disturbs nobody."""
    run = WatchedRun(crash_at=0)
    run.end()
    run.reach("a")
    assert [] == run.points


def test_an_endless_task_keeps_no_endless_list(monkeypatch):
    """Points beyond the bound are none."""
    monkeypatch.setattr(watched, "MOST_POINTS", 3)
    run = WatchedRun(crash_at=5)
    for _ in range(10):
        run.reach("row")
    assert ["row"] * 3 == run.points


def test_a_point_elsewhere_names_the_line_of_the_task_that_led_there():
    """Else nobody knows which of two calls it was."""
    run = WatchedRun(crash_at=0, task=code_of(calls))
    with pytest.raises(Crash):
        calls(run)
    assert run.crashed_at.startswith("deep down (from test_watched.py:")
    assert run.crashed_at.endswith(": deeper(run))")


def calls(run):
    deeper(run)


def deeper(run):
    run.reach("deep down")


@pytest.fixture
def handler():
    """One that marks a point."""
    app = App()

    @app.task("t")
    def task() -> None:
        crash_point("within")

    app.load()
    with app.using(object(), clock=FakeClock()):
        yield app.runtime.handlers["t"], task.call()


def bound(handler):
    definition, _ = handler
    lease = Lease(queue="q", receipt=None, ends=timedelta(1), expires_at=FakeClock().now())
    body = b'{"specversion":"1.0","id":"1","source":"s","type":"t","data":{}}'
    delivery = Delivery.of(body, native_id="1", runs=1, deliveries=1, lease=lease)
    return WatchedHandler(definition).bind(delivery, delivery.message, deadline=None, lease_lost=Event())


def test_a_job_has_points_around_it(handler):
    """Before the task, and between its effect and what the worker makes of it."""
    run = WatchedRun()
    token = watching.set(run)
    try:
        bound(handler).run()
    finally:
        watching.reset(token)
    assert [BEFORE, "within", AFTER] == run.points


def test_an_unwatched_job_is_as_it_is(handler):
    """The context, too, is the definition's own."""
    job = bound(handler)
    job.run()
    assert "1" == job.context.id


def test_a_handler_has_what_its_definition_has(handler):
    """Also what steps of the Processor ask for that this module doesn't know."""
    definition, _ = handler
    watched_handler = WatchedHandler(definition)
    assert ("t", False) == (watched_handler.name, watched_handler.is_async)
    assert definition.keys is watched_handler.keys
