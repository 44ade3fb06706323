"""Rehearsals: what a schedule says happens, and then everything is delivered until it is done."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
import weakref
from datetime import timedelta

import pytest
from tenacity import stop_after_attempt

from cloudq import App, Context, DeadLetter, Retried, Retry, RetryPolicy
from cloudq.core.processor import Processor
from cloudq.testing import FakeClock, in_memory
from cloudq.testing.memory import memory_of
from cloudq.testing.redelivery import crash_point, rehearsal
from cloudq.testing.redelivery.rehearsal import Rehearsal
from cloudq.testing.redelivery.schedule import GoOn, Take

HOUR = timedelta(hours=1)


@pytest.fixture
def app():
    """In memory."""
    with in_memory(App(retry=RetryPolicy(stop=stop_after_attempt(3))), clock=FakeClock()) as app:
        yield app


@pytest.fixture
def log(app):
    """What the task `step` did: it begins, and it ends, with a point between, the third of its run."""
    done = []

    @app.task("step", queues=["default", "q.fifo"])
    def step(context: Context, name: str) -> None:
        done.append(f"{name}{context.deliveries} begins")
        crash_point("between")
        done.append(f"{name}{context.deliveries} ends")

    return done


BETWEEN = 1  # after the one before the task


def play(app, *schedule, crash="raise", grace=60):
    return Rehearsal(app, memory_of(app), crash=crash, all_lines=False, grace=grace).play(schedule)


def test_by_itself_each_message_is_delivered_once(app, log):
    """In order; each run's points are known."""
    app.send("step", {"name": "a"})
    app.send("step", {"name": "b"})
    ending = play(app)
    assert ["a1 begins", "a1 ends", "b1 begins", "b1 ends"] == log
    points = ("before its first line", "between", "after its last line", "before its acknowledgement")
    assert [points, points] == [reached.points for reached in ending.once]
    assert [None, None] == [event.fault for event in ending.events]


def test_a_message_comes_again_though_it_was_acknowledged(app, log):
    """As queues may deliver."""
    app.send("step", {"name": "a"})
    ending = play(app, Take(message=0), Take(message=0))
    assert ["a1 begins", "a1 ends", "a2 begins", "a2 ends"] == log
    assert [None, "duplicate"] == [event.fault for event in ending.events]


@pytest.mark.parametrize(
    ("at", "done"),
    [
        (0, ["a2 begins", "a2 ends"]),
        (BETWEEN, ["a1 begins", "a2 begins", "a2 ends"]),
        (2, ["a1 begins", "a1 ends", "a2 begins", "a2 ends"]),
        (3, ["a1 begins", "a1 ends", "a2 begins", "a2 ends"]),
        (4, ["a1 begins", "a1 ends"]),
    ],
    ids=["before the task", "between", "after the task", "before the acknowledgement", "never"],
)
def test_a_run_crashes_at_each_of_its_points_and_comes_again(app, log, at, done):
    """What it did until then stays done."""
    app.send("step", {"name": "a"})
    play(app, Take(message=0, crash_at=at))
    assert done == log


def test_a_message_comes_again_only_once_its_lease_is_over(app, log):
    """That of a run that died."""
    app.send("step", {"name": "a"})
    play(app, Take(message=0, crash_at=BETWEEN))
    assert timedelta(minutes=2) < app.clock.elapsed() < HOUR


def test_a_stale_owner_goes_on_after_its_successor(app, log):
    """Its lease ended while it was paused."""
    app.send("step", {"name": "a"})
    ending = play(app, Take(message=0, pause_at=BETWEEN), Take(message=0, stale=True), GoOn(message=0))
    assert ["a1 begins", "a2 begins", "a2 ends", "a1 ends"] == log
    assert ["paused", "stale", None] == [event.fault for event in ending.events]
    assert app.clock.elapsed() > timedelta(minutes=2)


def test_two_messages_run_in_turns(app, log):
    """As in two threads, or two workers."""
    app.send("step", {"name": "a"})
    app.send("step", {"name": "b"})
    play(app, Take(message=0, pause_at=BETWEEN), Take(message=1, pause_at=BETWEEN), GoOn(message=0), GoOn(message=1))
    assert ["a1 begins", "b1 begins", "a1 ends", "b1 ends"] == log
    assert timedelta(0) == app.clock.elapsed()


def test_messages_arrive_in_another_order(app, log):
    """Without an ordering key they may."""
    app.send("step", {"name": "a"})
    app.send("step", {"name": "b"})
    ending = play(app, Take(message=1))
    assert ["b1 begins", "b1 ends", "a1 begins", "a1 ends"] == log
    assert "reordered" == ending.events[0].fault


def test_an_ordering_key_keeps_its_order(app, log):
    """Whatever the schedule says."""
    for name in "ab":
        app.send("step", {"name": name}, queue="q.fifo", ordering_key="k")
    play(app, Take(message=1), Take(message=0), Take(message=1), Take(message=0))
    assert ["a1 begins", "a1 ends", "b1 begins", "b1 ends"] == log


def test_a_paused_run_goes_on_if_another_one_waits_for_what_it_holds(app):
    """No schedule hangs in a lock of the user's own."""
    lock, done = threading.Lock(), []

    @app.task("locked")
    async def locked(name: str) -> None:
        with lock:
            crash_point("within")
            done.append(name)

    for name in "ab":
        app.send("locked", {"name": name})
    ending = play(app, Take(message=0, pause_at=1), Take(message=1), grace=0.1)
    assert ["a", "b"] == done
    assert any("seems to wait for it" in event.text for event in ending.events)


def test_a_crash_gives_back_what_a_with_block_holds(app):
    """A lock of the process isn't held by the dead."""
    lock, done = threading.Lock(), []

    @app.task("locked")
    def locked() -> None:
        with lock:
            crash_point("within")
            done.append(1)

    app.send("locked")
    play(app, Take(message=0, crash_at=1))
    assert [1] == done


def test_what_tasks_send_is_delivered_as_well(app, log):
    """And can be scheduled, by the number that it gets."""

    @app.task("parent")
    def parent() -> None:
        app.send("step", {"name": "child"})

    app.send("parent")
    play(app, Take(message=0), Take(message=1), Take(message=1))
    assert ["child1 begins", "child1 ends", "child2 begins", "child2 ends"] == log


def test_retries_follow_the_policy_without_waiting(app):
    """Attempts count as for a worker."""
    attempts = []

    @app.task("flaky")
    def flaky(context: Context) -> None:
        attempts.append(context.attempt)
        if context.attempt < 3:
            raise Retry("not yet", delay=HOUR)

    app.send("flaky")
    assert {} == play(app).failed
    assert [1, 2, 3] == attempts
    assert 2 * HOUR <= app.clock.elapsed() < 3 * HOUR


def test_dead_messages_are_named(app):
    """With the reason."""

    @app.task("hopeless")
    def hopeless(n: int) -> None:
        raise DeadLetter("no such order")

    app.send("hopeless", {"n": 1})
    assert {"hopeless(n=1)": "no such order"} == play(app).failed


def test_a_delayed_message_comes_when_it_is_due(app, log):
    """The clock moves there."""
    app.send("step", {"name": "a"}, delay=HOUR)
    play(app)
    assert ["a1 begins", "a1 ends"] == log
    assert HOUR <= app.clock.elapsed()


def test_a_message_that_never_ends_is_an_error(app):
    """Not an endless loop."""

    @app.task("again")
    def again() -> None:
        raise Retry("again", delay=timedelta(0))

    app.retry_policy = RetryPolicy(stop=stop_after_attempt(1000))
    app.send("again")
    with pytest.raises(RuntimeError, match="delivered 50 times"):
        play(app)


def test_tasks_that_send_themselves_without_end_are_an_error(app, monkeypatch):
    """Not an endless loop."""
    monkeypatch.setattr(rehearsal, "MOST_MESSAGES", 5)

    @app.task("ping")
    def ping() -> None:
        app.send("ping")

    app.send("ping")
    with pytest.raises(RuntimeError, match="no end of it"):
        play(app)


@pytest.mark.slow
def test_a_killed_process_leaves_what_is_outside_of_it(app, tmp_path):
    """`finally` doesn't run, and the memory of the tests is as it was."""
    memory = []

    @app.task("write")
    def write(context: Context) -> None:
        memory.append(context.deliveries)
        try:
            (tmp_path / f"effect{context.deliveries}").touch()
            crash_point("written")
        finally:
            (tmp_path / f"finally{context.deliveries}").touch()

    app.send("write")
    ending = play(app, Take(message=0, crash_at=BETWEEN), crash="kill")
    assert ["effect1", "effect2", "finally2"] == sorted(file.name for file in tmp_path.iterdir())
    assert [2] == memory
    assert ["killed", None] == [event.fault for event in ending.events]
    assert ending.events[0].point.startswith("written")


def test_it_runs_whatever_every_edge_runs(app, log, monkeypatch):
    """Middleware, signatures, and what will claim keys: there is one Processor, made in one place."""
    made = []

    def processor_of(*args, **kwargs):
        made.append(original(*args, **kwargs))
        return made[-1]

    original = rehearsal.processor_of
    monkeypatch.setattr(rehearsal, "processor_of", processor_of)
    seen = []

    def middleware(context):
        seen.append(context.id)
        yield

    app.middleware = (middleware,)
    app.send("step", {"name": "a"})
    play(app, Take(message=0, crash_at=BETWEEN))
    assert [Processor] == [type(processor) for processor in made]
    assert 2 == len(seen)


def test_what_is_dead_comes_back_from_the_dead_letter_queue_once(app):
    """A run that failed because another one was in its way isn't a lost effect."""
    attempts, fails = [], [True] * 3

    @app.task("unlucky")
    def unlucky(context: Context) -> None:
        attempts.append(context.attempt)
        if fails:
            fails.pop()
            raise Retry("locked", delay=timedelta(0))

    app.send("unlucky")
    ending = play(app)
    assert [1, 2, 3, 1] == attempts
    assert {} == ending.failed
    assert any("sent again from the dead-letter queue" in event.text for event in ending.events)


def test_messages_of_other_programs_are_left_alone(app):
    """Nobody here knows their tasks."""
    app.send("elsewhere", {"n": 1})
    ending = play(app, Take(message=0, crash_at=0), Take(message=0))
    assert ([], {}) == (ending.events, ending.failed)


def test_a_crash_within_a_task_group_is_one(app):
    """Though it arrives in an exception group."""
    done = []

    @app.task("group")
    async def group() -> None:
        async def one() -> None:
            crash_point("within")
            done.append(1)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(one())

    app.send("group")
    ending = play(app, Take(message=0, crash_at=1))
    assert [1] == done
    assert ["crashed", None] == [event.fault for event in ending.events]


def test_an_interruption_by_a_person_ends_it(app):
    """Ctrl-C isn't a crash of the schedule."""

    @app.task("interrupted")
    def interrupted() -> None:
        raise KeyboardInterrupt

    app.send("interrupted")
    with pytest.raises(KeyboardInterrupt):
        play(app)


@pytest.mark.parametrize("kind", ["sync", "async", "group"])
def test_what_a_crashed_run_held_is_gone_when_the_next_one_begins(app, kind):
    """Its connections are closed, as those of a process that died."""
    held, alive = [], []

    class Connection:
        """Something that is closed once nobody has it."""

    def work() -> None:
        connection = Connection()
        alive.append([reference() is not None for reference in held])
        held.append(weakref.ref(connection))
        crash_point("within")

    async def awork() -> None:
        work()

    async def gwork() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(awork())

    gc.disable()
    try:
        app.task("holds")({"sync": work, "async": awork, "group": gwork}[kind])
        app.send("holds")
        play(app, Take(message=0, crash_at=1))
    finally:
        gc.enable()
    assert [[], [False]] == alive


def test_what_a_crashed_run_left_open_is_no_warning(app, tmp_path):
    """Nor an error, where warnings are errors: no dead process closes its files."""

    @app.task("opens")
    async def opens() -> None:
        file = (tmp_path / "file").open("w")
        crash_point("within")
        file.close()

    app.send("opens")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        play(app, Take(message=0, crash_at=1))
    assert [] == caught


def test_no_owner_becomes_stale_because_another_message_has_to_wait(app, log):
    """One that isn't due yet isn't delivered beside a paused run, whose lease its worker would renew."""
    app.send("step", {"name": "a"})
    app.send("step", {"name": "b"}, delay=HOUR)
    play(app, Take(message=0, pause_at=BETWEEN), Take(message=1), GoOn(message=0))
    assert ["a1 begins", "a1 ends", "b1 begins", "b1 ends"] == log


def test_waiting_uses_up_no_attempt(app):
    """For another run's claim, say: what isn't counted isn't counted here either."""
    waits, attempts = [HOUR, HOUR], []

    def wait(context):
        if waits:
            return Retried(delay=waits.pop(), reason="somebody has the key", counted=False)
        return (yield)

    @app.task("t")
    def task(context: Context) -> None:
        attempts.append((context.attempt, context.deliveries))

    app.middleware = (wait,)
    app.send("t")
    play(app)
    assert [(1, 3)] == attempts
    assert 2 * HOUR <= app.clock.elapsed()
