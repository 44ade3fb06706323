"""`Sending`: one and many, sync and async, and what of a failure."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import Iterator, Sequence

import pytest

import cloudq
from cloudq import App, Call
from cloudq.core import wire
from cloudq.core.driver import Outgoing, SendResult
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import (
    ConfigurationError,
    OptionError,
    PayloadError,
    PermissionDenied,
    QueueNotFound,
    SendManyError,
)
from cloudq.testing import in_memory, sent
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
        assert self.release.wait(60)
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
        await asyncio.to_thread(driver.entered.wait, 60)
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
        await asyncio.to_thread(driver.entered.wait, 60)
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
