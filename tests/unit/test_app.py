"""`App`: sending one and many, sync and async, opening and forking, and keeping apps apart."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

import cloudq
from cloudq import App, Call, RetryPolicy
from cloudq.core import wire
from cloudq.core.driver import Outgoing, SendResult
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import (
    BackendError,
    ConfigurationError,
    OptionError,
    PayloadError,
    PermissionDenied,
    QueueNotFound,
    SendManyError,
    TaskDefinitionError,
)
from cloudq.queues.urls import URL_VARIABLE
from cloudq.testing import FakeClock, in_memory, run_all, sent
from tests.ids import shown


@pytest.fixture
def app() -> Iterator[App]:
    with in_memory(App()) as app:
        yield app


def echo(n: int) -> None: ...


class Blocking(MemoryDriver):
    """A memory whose sends wait until they are let through."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.release = threading.Event()

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        self.entered.set()
        assert self.release.wait(10)
        return super().send(outgoing)


class Refusing(MemoryDriver):
    """A memory that refuses calls of `echo` with certain numbers."""

    def __init__(self, refused: set[int]) -> None:
        super().__init__()
        self.refused = refused

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        results = []
        for item in outgoing:
            refused = wire.decode(item.body, item.queue).payload["n"] in self.refused
            results.append(SendResult(error=PermissionDenied("no")) if refused else super().send([item])[0])
        return results


# ── one ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_send_stores_one_message(app):
    """By task, by name and by call, with the same message but for its id."""
    task = app.task("t", queue="mail")(echo)
    ids = [
        task.send(1).id,
        task.send(n=1).id,
        app.send(task, {"n": 1}).id,
        app.send("t", {"n": 1}).id,
        app.send(task.call(1)).id,
        asyncio.run(task.asend(1)).id,
        asyncio.run(app.asend("t", {"n": 1})).id,
        *(one.id for one in app.send_many([task.call(1)])),
        *(one.id for one in asyncio.run(app.asend_many([task.call(1)]))),
    ]
    messages = sent(app)
    assert ids == [message.id for message in messages]
    assert 9 == len(set(ids))
    assert {("t", "mail", app.clock.now())} == {(m.task, m.queue, m.sent_at) for m in messages}
    assert [{"n": 1}] * 9 == [message.payload for message in messages]


def test_a_task_of_another_program_is_sent_by_name(app):
    """Its parameters can't be checked here; the queue is the app's default one unless said otherwise."""
    app.send("elsewhere.task", {"anything": [1]})
    app.send("elsewhere.task", queue="theirs")
    first, second = sent(app)
    assert ("default", {"anything": [1]}) == (first.queue, first.payload)
    assert ("theirs", {}) == (second.queue, second.payload)


@pytest.mark.parametrize("task", ["", "a\nb", None, 5, echo], ids=shown)
def test_what_is_no_task_cannot_be_sent(app, task):
    """A plain function isn't one."""
    with pytest.raises(OptionError, match=r"is no (name of a )?task"):
        app.send(task)
    assert [] == sent(app)


def test_a_call_has_its_payload_already(app):
    """A second one is refused."""
    task = app.task("t")(echo)
    with pytest.raises(PayloadError, match="has its payload already"):
        app.send(task.call(1), {"n": 2})


def test_two_apps_do_not_see_each_other(app):
    """A task of one is unknown to the other, by object and by name; the name may be used twice."""
    mine = app.task("t")(echo)
    with in_memory(App()) as other:
        theirs = other.task("t", queue="theirs")(echo)
        for send in (
            lambda: other.send(mine, {"n": 1}),
            lambda: other.send(mine.call(1)),
            lambda: other.send_many([theirs.call(1), mine.call(1)]),
            lambda: asyncio.run(other.asend(mine, {"n": 1})),
        ):
            with pytest.raises(OptionError, match="belongs to another App"):
                send()
        assert ([], []) == (sent(app), sent(other))
        theirs.send(1)
        mine.send(2)
        assert [{"n": 1}] == [message.payload for message in sent(other)]
    assert [{"n": 2}] == [message.payload for message in sent(app)]


# ── many ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_thousands_are_sent_at_once(app):
    """From any iterable, over several queues, one Sent each, in order."""
    task = app.task("t", queues=["q0", "q1", "q2"])(echo)
    results = app.send_many(task.options(queue=f"q{n % 3}").call(n) for n in range(5000))
    assert 5000 == len({result.id for result in results})
    by_id = {message.id: message.payload["n"] for message in sent(app)}
    assert list(range(5000)) == [by_id[result.id] for result in results]


def test_of_nothing_nothing_is_sent(app):
    """An empty iterable is fine."""
    assert [] == app.send_many([])


def test_a_failure_of_some_hides_no_other():
    """Every call is tried; results and failed calls are in order, and the failed ones can be sent again."""
    driver = Refusing({3, 7})
    app = App()
    task = app.task("t")(echo)
    with app.using(driver):
        calls = [task.call(n) for n in range(10)]
        with pytest.raises(SendManyError, match="2 of 10 calls were not stored") as caught:
            app.send_many(calls)
        error = caught.value
        assert [calls[3], calls[7]] == error.failed
        assert [n in {3, 7} for n in range(10)] == [isinstance(result, PermissionDenied) for result in error.results]
        assert 8 == len(driver.sent)
        driver.refused = set()
        assert 2 == len(app.send_many(error.failed))
    assert 10 == len(driver.sent)


def test_a_queue_that_cannot_be_had_fails_its_own_calls_only():
    """The calls of other queues are stored."""
    driver = MemoryDriver(queues=["there"])
    app = App()
    task = app.task("t", queues=["there", "nowhere"])(echo)
    with app.using(driver):
        calls = [task.options(queue=queue).call(n) for n, queue in enumerate(["there", "nowhere", "there"])]
        with pytest.raises(SendManyError) as caught:
            app.send_many(calls)
    assert [cloudq.Sent, QueueNotFound, cloudq.Sent] == [type(result) for result in caught.value.results]
    assert [calls[1]] == caught.value.failed


def test_a_backend_that_cannot_be_opened_fails_every_call():
    """Each with that error; nothing is half done."""
    app = App("nobodys://backend")
    task = app.task("t")(echo)
    with pytest.raises(SendManyError) as caught:
        app.send_many([task.call(1), task.call(2)])
    assert [ConfigurationError] * 2 == [type(result) for result in caught.value.results]


def test_an_iterable_that_raises_stores_nothing(app):
    """It is read to its end before anything is sent."""
    task = app.task("t")(echo)

    def calls() -> Iterator[Call]:
        yield task.call(1)
        yield task.call("no int")

    with pytest.raises(PayloadError):
        app.send_many(calls())
    with pytest.raises(PayloadError):
        asyncio.run(app.asend_many(calls()))
    assert [] == sent(app)


@pytest.mark.parametrize("wrong", [None, 1, "t", ("t", {})], ids=shown)
def test_only_calls_are_sent_many(app, wrong):
    """Anything else is refused before anything is stored."""
    task = app.task("t")(echo)
    with pytest.raises(OptionError, match="takes calls"):
        app.send_many([task.call(1), wrong])
    assert [] == sent(app)


def test_a_duplicate_of_the_same_batch_is_told(app):
    """The second of two with one key isn't stored again."""
    task = app.task("t", idempotency_key="{n}")(echo)
    first, other, again = app.send_many([task.call(1), task.call(2), task.call(1)])
    assert (False, False, True) == (first.duplicate, other.duplicate, again.duplicate)
    assert first.id == again.id


# ── on an event loop ─────────────────────────────────────────────────────────────────────────────────────


def test_asend_never_blocks_the_loop():
    """The loop runs on while the message is being stored."""
    driver = Blocking()
    app = App()
    task = app.task("t")(echo)

    async def main() -> None:
        sending = asyncio.create_task(task.asend(1))
        await asyncio.to_thread(driver.entered.wait, 10)
        assert not sending.done()
        await asyncio.sleep(0)  # the loop is free
        driver.release.set()
        assert (await sending).id

    with app.using(driver):
        asyncio.run(main())
    assert 1 == len(driver.sent)


def test_cancelling_an_asend_does_not_unsend():
    """Its caller stops waiting; the message is stored all the same."""
    driver = Blocking()
    app = App()
    task = app.task("t")(echo)

    async def main() -> None:
        sending = asyncio.create_task(task.asend(1))
        await asyncio.to_thread(driver.entered.wait, 10)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        driver.release.set()
        await task.asend(2)

    with app.using(driver):
        asyncio.run(main())
    assert 2 == len(driver.sent)


def test_many_asends_at_once_share_calls():
    """A thousand coroutines, far fewer calls, each with its own result."""
    calls = []

    class Counting(MemoryDriver):
        def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
            calls.append(len(outgoing))
            return super().send(outgoing)

    app = App()
    task = app.task("t")(echo)

    async def main() -> list[cloudq.Sent]:
        return await asyncio.gather(*(task.asend(n) for n in range(1000)))

    with app.using(Counting()):
        assert 1000 == len({one.id for one in asyncio.run(main())})
    assert 1000 == sum(calls)
    assert len(calls) < 500


def test_asend_raises_as_send_does():
    """The item's own error, and what is refused before."""
    app = App()
    task = app.task("t")(echo)
    with app.using(Refusing({1})):
        with pytest.raises(PermissionDenied):
            asyncio.run(task.asend(1))
        with pytest.raises(PayloadError):
            asyncio.run(task.asend("x"))
        with pytest.raises(OptionError):
            asyncio.run(app.asend("t", {"n": 1}, delay=5))
    with pytest.raises(ConfigurationError):
        asyncio.run(App("nobodys://").asend("t"))


def test_a_send_on_a_running_loop_warns_once(app):
    """It names `asend` and the caller's line; the message is stored."""
    task = app.task("t")(echo)

    async def main() -> list[warnings.WarningMessage]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            task.send(1)
            app.send("t", {"n": 2})
            app.send_many([task.call(3)])
        return caught

    [warning] = asyncio.run(main())
    assert issubclass(warning.category, RuntimeWarning)
    assert "asend(...)" in str(warning.message)
    assert __file__ == warning.filename
    assert 3 == len(sent(app))


@pytest.mark.parametrize("way", ["task", "app", "many"])
def test_the_warning_points_at_the_caller_and_names_the_way_out(app, way):
    """However deep in cloudq it is raised."""
    task = app.task("t")(echo)

    async def main() -> warnings.WarningMessage:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            match way:
                case "task":
                    task.send(1)
                case "app":
                    app.send(task, {"n": 1})
                case "many":
                    app.send_many([task.call(1)])
        return caught[0]

    warning = asyncio.run(main())
    assert __file__ == warning.filename
    assert ("asend_many" if way == "many" else "await asend(") in str(warning.message)


def test_a_send_beside_a_loop_does_not_warn(app):
    """In a thread of a program that has a loop elsewhere, nothing is blocked. (Warnings are errors here.)"""
    task = app.task("t")(echo)

    async def main() -> None:
        await asyncio.to_thread(task.send, 1)
        await app.asend_many([task.call(2)])

    asyncio.run(main())
    task.send(3)
    assert 3 == len(sent(app))


# ── configuring and opening ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"imports": "shop.tasks"}, "list of modules"),
        ({"url": 5}, "url is a text"),
        ({"retry": 5}, "is a RetryPolicy"),
        ({"middleware": echo}, "middleware is a list"),
        ({"unknown_task_patience": 3600}, "unknown_task_patience is a timedelta"),
        ({"redact": "postgres"}, "redact is a function, not a str"),
        ({"unknown_task_patience": timedelta(seconds=-1)}, "timedelta of 0 or more"),
    ],
    ids=shown,
)
def test_settings_that_mean_nothing_are_refused(settings, why):
    """By the constructor and by `configure`, which then changes nothing."""
    with pytest.raises(ConfigurationError, match=why):
        App(**settings)
    app = App("memory://", default_queue="before")
    with pytest.raises(ConfigurationError, match=why):
        app.configure(default_queue="after", **settings)
    assert "before" == app.default_queue


def test_no_patience_is_a_patience():
    """Zero is set, and stays while other settings change; left out it is an hour."""
    app = App("memory://", unknown_task_patience=timedelta(0))
    app.configure(default_queue="other")
    assert (timedelta(0), timedelta(hours=1)) == (app.unknown_task_patience, App().unknown_task_patience)


@pytest.mark.parametrize("name", ["", "q-dlq", "a b"])
def test_a_default_queue_is_the_name_of_a_queue(name):
    """As a task's own."""
    with pytest.raises(OptionError):
        App(default_queue=name)


def test_configure_sets_what_is_given_and_leaves_the_rest():
    """Until the backend is open."""
    policy = RetryPolicy()
    app = App("memory://", imports=["a"], default_queue="q")
    app.configure(retry=policy)
    assert ("memory://", ("a",), "q", policy) == (app.url, app.imports, app.default_queue, app.retry_policy)
    app.send("t")
    with pytest.raises(ConfigurationError, match="too late"):
        app.configure(default_queue="late")
    app.close()
    app.configure(default_queue="again")
    assert "again" == app.default_queue


def test_declaring_opens_nothing():
    """An app can be declared at import, whatever its URL is."""
    app = App("nobodys://backend")
    task = app.task("t")(echo)
    task.call(1)
    app.load()
    assert not app.is_open
    with pytest.raises(ConfigurationError):
        task.send(1)
    assert not app.is_open, "the next send tries again"


def test_load_imports_the_modules_that_are_named():
    """A missing one is a configuration error."""
    with pytest.raises(ConfigurationError, match="imports names 'nowhere_at_all'"):
        App("memory://", imports=["nowhere_at_all"]).load()
    App("memory://", imports=["keyword"]).load()


def test_an_app_opens_one_backend_for_all_threads():
    """Threads that send first at the same time share a driver, and each queue's handle."""
    app = App("memory://")
    barrier = threading.Barrier(8)
    handles = []

    def first() -> None:
        barrier.wait()
        handles.append((app.driver(), app.queue("q")))

    threads = [threading.Thread(target=first) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 == len({id(driver) for driver, _ in handles})
    assert 1 == len({id(queue) for _, queue in handles})
    app.close()


def test_a_closed_app_opens_again():
    """`close` ends the backend's use, not the app's."""
    app = App("memory://")
    first = app.driver()
    app.close()
    app.close()
    assert not app.is_open
    with pytest.raises(BackendError, match="closed"):
        first.send([Outgoing(id="1", queue="q", body=b"{}")])
    assert first is not app.driver()
    app.close()


def test_the_default_file_is_named_once_in_the_log(monkeypatch, tmp_path, caplog):
    """Where nothing is set, it says where tasks are kept; where something is set, it says nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    app = App()
    with caplog.at_level(logging.WARNING, "cloudq"):
        app.send("t")
        app.send("t")
    assert [f"CLOUDQ_URL is not set: tasks are kept in sqlite:///{tmp_path}/cloudq.db"] == caplog.messages
    app.close()
    caplog.clear()
    monkeypatch.setenv(URL_VARIABLE, "sqlite:///cloudq.db")
    for other in (App(), App("sqlite:///cloudq.db")):
        other.send("t")
        other.close()
    assert [] == caplog.messages


def test_a_queue_has_a_name(app):
    """A handle of nothing isn't given."""
    with pytest.raises(OptionError):
        app.queue("")
    assert app.queue("q") is app.queue("q")
    assert "q-dlq" == app.queue("q-dlq").name, "tools look at dead-letter queues"


def test_a_driver_can_be_lent():
    """`using` puts the app on another driver and clock, and back as it was; nothing is closed, not even by `close`."""
    app = App("memory://")
    app.send("t")
    own, clock = app.driver(), app.clock
    lent, fake = MemoryDriver(), FakeClock()
    with app.using(lent, clock=fake) as same:
        assert (app, lent, fake) == (same, app.driver(), app.clock)
        app.close()
        app.send("t")
    assert (own, clock) == (app.driver(), app.clock)
    assert 1 == len(lent.sent)
    lent.send([Outgoing(id="1", queue="q", body=b"{}")])
    app.close()


def test_an_app_shows_no_url():
    """It may come from the environment, and holds no secret anyway."""
    app = App("memory://")
    app.task("t")(echo)
    assert "App(1 tasks)" == repr(app)


def test_an_app_that_nobody_holds_is_forgotten():
    """The list of apps to look after at a fork keeps none alive."""
    app = App("memory://")
    reference = weakref.ref(app)
    del app
    gc.collect()
    assert reference() is None


def test_a_task_that_is_refused_leaves_the_app_as_it_was(app):
    """Neither a name nor an alias of it is taken."""
    with pytest.raises(TaskDefinitionError):
        app.task("t", aliases=["a"])(len)
    assert ({}, {}) == (dict(app.tasks), dict(app.runtime.handlers))


# ── fork ─────────────────────────────────────────────────────────────────────────────────────────────────

FORK = """
import os, sys, threading
import cloudq

app = cloudq.App("sqlite:///q.db")

@app.task("t")
def task(n: int) -> None: ...

def in_child(function):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0

task.send(1)
parents = app.driver()

def child():
    assert not app.is_open
    task.send(2)
    assert app.driver() is not parents
    in_child(lambda: task.send(3))
    task.send(4)
    app.close()

in_child(child)
task.send(5)
assert app.driver() is parents
assert app.queue("default").stats().ready == 5, app.queue("default").stats()
app.close()

# A thread of the parent is opening the backend at this very moment: the child must not wait for it.
opening, go_on = threading.Event(), threading.Event()
import cloudq.queues.connection as module
real = module.open_driver

def slow(*args):
    opening.set()
    assert go_on.wait(20)
    return real(*args)

module.open_driver = slow
thread = threading.Thread(target=app.driver)
thread.start()
assert opening.wait(20)

def child():
    module.open_driver = real
    task.send(6)

in_child(child)
go_on.set()
thread.join()
assert app.queue("default").stats().ready == 6

# What was lent belongs to the process that it was lent in.
from cloudq.testing import in_memory

def child():
    try:
        task.send(7)
    except cloudq.ConfigurationError as error:
        assert "forked" in str(error)
    else:
        raise AssertionError("it was sent elsewhere")

with in_memory(app):
    in_child(child)
assert app.queue("default").stats().ready == 6
print("done")
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
def test_a_forked_child_opens_a_backend_of_its_own(tmp_path):
    """The child, and its child, send on their own; the parent goes on with what it has."""
    script = tmp_path / "forking.py"
    script.write_text(FORK)
    result = subprocess.run(
        # Python 3.12 warns of forks beside threads, which is what is tested.
        [sys.executable, "-W", "ignore::DeprecationWarning", str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "done\n") == (result.returncode, result.stdout), result.stderr


# ── the whole way ────────────────────────────────────────────────────────────────────────────────────────


def test_a_delay_is_kept_by_the_backend(app):
    """It isn't worked before its time."""
    ran = []

    @app.task("t")
    def task() -> None:
        ran.append(app.clock.now())

    due = app.clock.now() + timedelta(hours=1)
    task.options(delay=timedelta(hours=1)).send()
    assert (0, 1) == (app.queue("default").stats().ready, app.queue("default").stats().delayed)
    run_all(app)
    assert [due] == ran
