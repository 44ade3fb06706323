"""One look at queues, workers and dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from cloudq import App
from cloudq.cli.top import sample as sample_module
from cloudq.cli.top.sample import DeadNow, Sampler
from cloudq.cli.top.workers import WorkerNow
from cloudq.core.driver import Final, NativeDeadLetter, Outgoing
from cloudq.core.failure import Failure
from cloudq.core.inspection import QueueStats
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendUnavailable


class Hiding:
    """Dead letters that a look hides from others for a minute, as on Amazon SQS."""

    hides_for = timedelta(minutes=1)

    def __init__(self, dead: Any) -> None:
        self._dead = dead

    def peek(self, **_: object) -> Any:
        pytest.fail("it was looked at")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dead, name)


class Backend(MemoryDriver):
    """Queues in memory that can't be reached while a test says so, and whose looks at dead letters are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.hides = False

    def stats(self, queue: str) -> QueueStats:
        if self.down:
            raise BackendUnavailable("no route")
        return super().stats(queue)

    def dead_letters(self, queue: str) -> Any:
        dead = super().dead_letters(queue)
        return Hiding(dead) if self.hides else dead

    def bury(self, queue: str, body: bytes, failure: Failure) -> None:
        self.send([Outgoing(id="m", queue=queue, body=body)])
        [delivery] = self.receive(queue, limit=1, wait=timedelta(0), lease=timedelta(minutes=1))
        self.settle([Final(lease=delivery.lease, step=NativeDeadLetter(failure=failure))])


FAILED = Failure(reason="gave up after 5 attempts: ValueError: no such user", error_type="ValueError")


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def app(backend: Backend) -> Any:
    app = App("memory://")
    with app.using(backend):
        yield app


def sampler(app: App, queues: Sequence[str] = ("emails",), workers: Sequence[str] = ()) -> Sampler:
    return Sampler(
        [app.queue(name) for name in queues],
        workers,
        ask=lambda address: WorkerNow(address=address, ready=True),
        elapsed=lambda: timedelta(seconds=7),
    )


def test_a_look_has_queues_and_workers(app: App, backend: Backend, make_body: Any) -> None:
    """Each queue with its counts, each worker with what it says, at one time."""
    backend.send([Outgoing(id="m", queue="emails", body=make_body())])
    look = sampler(app, ["emails", "reports"], ["w:1"]).look()
    assert timedelta(seconds=7) == look.at
    assert [("emails", 1), ("reports", 0)] == [(one.name, one.stats and one.stats.ready) for one in look.queues]
    assert [WorkerNow(address="w:1", ready=True)] == look.workers


def test_a_queue_that_cant_be_reached_is_part_of_the_look(app: App, backend: Backend) -> None:
    """Looking on is what people do then."""
    looks = sampler(app)
    backend.down = True
    [queue] = looks.look().queues
    assert (None, "no route") == (queue.stats, queue.error and queue.error.message)
    backend.down = False
    assert looks.look().queues[0].stats


def test_dead_letters_are_grouped_by_what_they_died_of(app: App, backend: Backend, make_body: Any) -> None:
    """Task and type of the error; the most frequent first."""
    for _ in range(2):
        backend.bury("emails", make_body(), FAILED)
    backend.bury("emails", b"{", Failure(reason="undecodable: it ends early"))
    assert [
        DeadNow(queue="emails", task="shop.welcome", error="ValueError", count=2),
        DeadNow(queue="emails", task="", error="undecodable: it ends early", count=1),
    ] == sampler(app).look().dead


def test_dead_letters_are_read_again_once_their_number_changes(
    app: App, backend: Backend, make_body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each look would read a hundred bodies; those that are gone are no longer shown."""
    backend.bury("emails", make_body(), FAILED)
    looks = sampler(app)
    assert looks.look().dead
    monkeypatch.setattr(sample_module, "_of", lambda _: pytest.fail("read again"))
    assert looks.look().dead
    backend.dead_letters("emails").purge(None)
    assert [] == looks.look().dead


def test_dead_letters_that_a_look_hides_arent_read(app: App, backend: Backend, make_body: Any) -> None:
    """The look says whose; a queue without any isn't named."""
    backend.bury("emails", make_body(), FAILED)
    backend.hides = True
    look = sampler(app, ["emails", "reports"]).look()
    assert ([], ["emails"]) == (look.dead, look.unread)
