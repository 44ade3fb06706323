"""The driver against the emulator: pushes by its own dispatcher, operations, outages, forks, the command line."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest
from google.cloud.tasks_v2 import Queue

from cloudq import App
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.driver import Ack, Final, Outgoing, Release
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.push import PushRequest
from cloudq.drivers.cloud_tasks import CloudTasksDriver
from cloudq.emulators.cloud_tasks import VARIABLE, CloudTasksEmulator, End, ManualClock, Settings
from cloudq.errors import BackendUnavailable
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.opening import open_driver
from cloudq.testing.conformance.push import Push, Receiver

ACCOUNT = "pusher@my-project.iam.gserviceaccount.com"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def emulator(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudTasksEmulator]:
    """An emulator on a clock that a test moves, which the environment names."""
    with CloudTasksEmulator(clock=clock) as emulator:
        monkeypatch.setenv(VARIABLE, emulator.address)
        yield emulator


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def url_of(receiver: Receiver, **parameters: str) -> str:
    more = "".join(f"&{name}={value}" for name, value in parameters.items())
    return f"cloudtasks://my-project/europe-west1?target={receiver.url}{more}"


@pytest.fixture
def driver(emulator: CloudTasksEmulator, receiver: Receiver, clock: ManualClock) -> Iterator[CloudTasksDriver]:
    """A driver as a URL opens it, with a queue that pushes."""
    driver = open_driver(url_of(receiver, service_account=ACCOUNT, prefix="test-"), clock)
    assert isinstance(driver, CloudTasksDriver)
    assert driver.make_queue("emails")
    yield driver
    driver.close()


def request_of(push: Push, clock: ManualClock) -> PushRequest:
    return PushRequest(headers=push.headers, body=push.body, received_at=clock.now(), received=clock.elapsed())


def test_what_is_sent_is_pushed_and_its_answer_settles_it(driver, emulator, receiver, clock):
    """By the emulator's own dispatcher: with a token, as a CloudEvent, again after a 500, never again after a 200."""
    message = Message(id="1", task="t", queue="emails", payload={"text": "ä"}, headers={"tenant": "7"})
    CloudQueue("emails", driver, clock=clock).send(message)
    (push,) = receiver.next(1)
    assert "application/cloudevents+json" == push.headers["content-type"]
    assert push.headers["authorization"].startswith("Bearer ")
    first = driver.decode(request_of(push, clock))
    assert (first.queue, first.message, first.attempt, first.deliveries) == ("emails", message, 1, 1)
    push.answer(driver.encode(Final(lease=first.lease, step=Release())))
    emulator.wait_idle()
    clock.advance(timedelta(seconds=2))
    (push,) = receiver.next(1)
    again = driver.decode(request_of(push, clock))
    assert (again.message, again.attempt, again.deliveries) == (message, 1, 2)
    push.answer(driver.encode(Final(lease=again.lease, step=Ack())))
    emulator.wait_idle()
    clock.advance(timedelta(days=1))
    emulator.wait_idle()
    assert [500, 200] == [attempt.status for attempt in emulator.attempts()]


def test_the_service_waits_as_long_as_the_lease_says(driver, emulator, receiver, clock):
    """A push that isn't answered in the time that the task's limit asked for is given up, and comes again."""
    queue = CloudQueue("emails", driver, clock=clock)
    for limit, waits in ((None, 600), (timedelta(seconds=1), 31), (timedelta(minutes=29), 1770)):
        emulator.clear_attempts()
        queue.send(Message(id="1", task="t", queue="emails", time_limit=limit))
        (push,) = receiver.next(1)
        delivery = driver.decode(request_of(push, clock))
        assert clock.now() + timedelta(seconds=waits) == delivery.lease.expires_at
        clock.advance(timedelta(seconds=waits - 1))
        assert [] == emulator.attempts()
        clock.advance(timedelta(seconds=1))
        emulator.wait_idle()
        assert [End.DEADLINE] == [attempt.end for attempt in emulator.attempts()]
        clock.advance(timedelta(seconds=2))
        (again,) = receiver.next(1)
        assert 2 == driver.decode(request_of(again, clock)).deliveries
        again.answer(driver.encode(Final(lease=delivery.lease, step=Ack())))
        emulator.wait_idle()


def test_a_dead_letter_queue_that_is_resumed_pushes_nothing_for_weeks(driver, emulator, clock):
    """Its tasks are due far ahead; until then they can be redriven (semantics 5)."""
    dead = Outgoing(id="1", queue="emails-dlq", body=b"?", failure=Failure(reason="it broke"))
    assert [None] == [result.error for result in driver.send([dead])]
    driver.client.resume_queue(name="projects/my-project/locations/europe-west1/queues/test-emails-dlq")
    assert driver.queue_settings("emails-dlq").stopped is None
    clock.advance(timedelta(days=29))
    emulator.wait_idle()
    assert [] == emulator.attempts()
    assert [b"?"] == [letter.body for letter in driver.dead_letters("emails").peek(limit=10)]


def test_a_dead_letter_is_gone_after_31_days(driver, emulator, clock):
    """So long the service keeps a task, and at least once holds for no longer."""
    driver.send([Outgoing(id="1", queue="emails-dlq", body=b"?")])
    clock.advance(timedelta(days=30, hours=23))
    assert 1 == len(driver.dead_letters("emails").peek(limit=10))
    clock.advance(timedelta(hours=2))
    assert [] == list(driver.dead_letters("emails").peek(limit=10))


def test_operations_that_take_a_while_are_awaited(receiver, clock, monkeypatch):
    """A batch is stored when its operation has ended; so is a purge of dead letters."""
    with CloudTasksEmulator(clock=clock, settings=Settings(pending_polls=2)) as emulator:
        monkeypatch.setenv(VARIABLE, emulator.address)
        driver = open_driver(url_of(receiver), clock)
        driver.make_queue("emails")
        items = [Outgoing(id=f"{n}", queue="emails-dlq", body=b"%d" % n, native_id=f"{n % 3}") for n in range(5)]
        results = driver.send(items)
        assert [None] * 5 == [result.error for result in results]
        assert [False, False, False, True, True] == [result.duplicate for result in results]
        assert 3 == driver.stats("emails").dead
        assert 3 == driver.dead_letters("emails").purge(None)
        assert 0 == driver.stats("emails").dead
        driver.close()


def test_an_app_sends_through_it(emulator, receiver):
    """One, one from an event loop, and a hundred and twenty at once, which is two operations."""
    app = App(url_of(receiver))
    app.driver().make_queue("default")
    name = "projects/my-project/locations/europe-west1/queues/default"
    emulator.client().pause_queue(name=name)
    task = app.task("shop.report", time_limit=timedelta(minutes=5))(lambda n: None)
    assert task.options(idempotency_key="k").send(1).duplicate is False
    assert asyncio.run(task.options(idempotency_key="k").asend(2)).duplicate is True
    app.send_many([task.call(n) for n in range(120)])
    assert 121 == app.queue("default").stats().ready
    tasks = list(emulator.client().list_tasks(parent=name))
    assert {timedelta(seconds=330)} == {one.dispatch_deadline for one in tasks}
    app.close()


@pytest.mark.slow
def test_a_service_that_comes_back_is_found_again(receiver, monkeypatch):
    """Without it a send fails within seconds; once it is back, the same driver's sends succeed again."""
    with CloudTasksEmulator() as first:
        port = int(first.address.rpartition(":")[2])
        monkeypatch.setenv(VARIABLE, first.address)
        driver = open_driver(url_of(receiver), SYSTEM_CLOCK)
        driver.make_queue("emails-away")
        queue = CloudQueue("emails-away", driver)
        later = timedelta(hours=1)
        message = Message(id="1", task="t", queue="emails-away", not_before=SYSTEM_CLOCK.now() + later)
        queue.send(message)
    with pytest.raises(BackendUnavailable):
        queue.send(message)
    with CloudTasksEmulator(port=port) as second:
        second.create_queue("projects/my-project/locations/europe-west1/queues/emails-away")
        for _ in range(10):
            try:
                queue.send(message)
            except BackendUnavailable:
                continue
            break
        assert 1 == driver.stats("emails-away").delayed
    driver.close()


FORKS = """
import os, sys
from datetime import timedelta
from cloudq import App

app = App(sys.argv[1])
app.driver().make_queue("default")
task = app.task("t")(lambda n: None).options(delay=timedelta(hours=1))
task.send(1)
children = []
for number in range(2):
    child = os.fork()
    if child == 0:
        task.send(10 + number)
        os._exit(0)
    children.append(child)
task.send(2)
codes = [os.waitpid(child, 0)[1] for child in children]
print(codes, app.queue("default").stats().delayed)
"""


@pytest.mark.slow
def test_children_of_a_process_that_has_sent_send_too(receiver):
    """After a fork each process has a channel of its own, and the parent's goes on."""
    with CloudTasksEmulator() as emulator:
        ended = subprocess.run(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKS, url_of(receiver)],
            env={**os.environ, **emulator.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert "[0, 0] 4\n" == ended.stdout


@pytest.mark.slow
def test_the_command_line_looks_after_queues(receiver, tmp_path):
    """Queues are made, checked, sent to and counted; one that another tool made with limited attempts is found."""
    with CloudTasksEmulator() as emulator:
        environment = {**os.environ, **emulator.environment, "CLOUDQ_URL": url_of(receiver)}

        def cloudq(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "cloudq", *arguments],
                cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip

        assert "created emails and emails-dlq\n" == cloudq("queues", "create", "emails").stdout
        assert (0, "emails is in order\n") == (
            (found := cloudq("queues", "check", "emails")).returncode,
            found.stdout,
        )
        assert 0 == cloudq("send", "shop.report", "--queue", "emails", "--delay", "1h").returncode
        assert 1 == json.loads(cloudq("stats", "--queue", "emails", "--json").stdout)["delayed"]
        emulator.create_queue(Queue(name="projects/my-project/locations/europe-west1/queues/reports"))
        found = cloudq("queues", "check", "reports")
        assert 1 == found.returncode
        assert "max_attempts is 100" in found.stdout
        assert "no dead-letter queue" in found.stdout
