"""Dead letters on every backend: each verb by its command; a redrive is killed, or there are two: none is lost.

```
 take ─▶ store the copy ─▶ delete the dead letter
       ✗ it is dead still    ✗ it is in both places: the next redrive makes the second copy at most
```
"""

from __future__ import annotations

import io
import json
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, cast

import pytest
from google.cloud.tasks_v2 import Queue

from cloudq.cli import main
from cloudq.core import wire
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.driver import Ack, Driver, NativeDeadLetter, Outgoing, PullDriver, is_push
from cloudq.core.driver import Final as FinalCall
from cloudq.core.failure import Failure
from cloudq.core.message import Message, dead_letter_queue
from cloudq.core.redriving import edits_of, times_redriven
from cloudq.emulators.cloud_tasks import VARIABLE, CloudTasksEmulator
from cloudq.emulators.service_bus.broker.settings import QueueSettings
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from cloudq.errors import LeaseLost
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.opening import open_driver
from tests.chaos.scale import SEED
from tests.chaos.stands import CONNECTION_STRING, Stand
from tests.integration.processes import environment, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400, func_only=True)]

QUEUE: Final = "default"
LETTERS, KILLS = 1_000, 5
LOCATION: Final = "projects/my-project/locations/europe-west1"
# What a killed process had taken can be taken again once its lease is over.
LEASE: Final = timedelta(seconds=10)
LONG: Final = timedelta(minutes=5)

SCRIPT: Final = Path(__file__).with_name("redrive.py").read_text()


class Letters:
    """The dead letters of the queue `default`, and the processes that redrive them.

    Args:
        stand: The backend.
        page: How many of them a process sends again at once.
        folder: Where the processes run.
    """

    def __init__(self, stand: Stand, page: int, folder: Path) -> None:
        self.stand = stand
        self.page = page
        self.folder = folder
        # A busy machine is no outage: a call may take 20 seconds.
        self.url = f"{stand.url}{'&' if '?' in stand.url else '?'}timeout=60"
        self.driver: Driver = open_driver(self.url, SYSTEM_CLOCK)
        self.processes: list[subprocess.Popen[str]] = []

    def fill(self, count: int) -> set[str]:
        """Has as many messages die. Their ids."""
        native = self.driver.capabilities(QUEUE).native_dead_letter
        target = QUEUE if native else dead_letter_queue(QUEUE)
        failure = Failure(reason="gave up", generation=1)
        ids = [uuid.uuid4().hex for _ in range(count)]
        size = self.driver.capabilities(QUEUE).max_batch
        for start in range(0, count, size):
            results = self.driver.send(
                [
                    Outgoing(
                        id=one,
                        queue=target,
                        body=wire.encode(Message(id=one, task="shop.pay", queue=QUEUE, source="web", payload={"n": 1})),
                        native_id=f"dead-{one}",
                        failure=None if native else failure,
                    )
                    for one in ids[start : start + size]
                ]
            )
            assert [result.error for result in results if result.error is not None] == []
        if native:
            self._kill(count, failure)
        assert self.left() == count
        return set(ids)

    def _kill(self, count: int, failure: Failure) -> None:
        driver, left = cast("PullDriver", self.driver), count
        while left:
            taken = driver.receive(QUEUE, limit=100, wait=timedelta(seconds=2), lease=LONG)
            step = NativeDeadLetter(failure=failure)
            results = driver.settle([FinalCall(lease=delivery.lease, step=step) for delivery in taken])
            assert [result.error for result in results if result.error is not None] == []
            left -= len(taken)

    def left(self) -> int:
        """How many are in the dead-letter queue still, leased ones too."""
        dead = self.driver.stats(QUEUE).dead
        assert dead is not None
        return dead

    def redrive(self, *edit: str, most: int = 10**9) -> subprocess.Popen[str]:
        """Starts a redrive of all, or an edit by these options, in a process. It sends no more than `most`."""
        bounds = (str(LEASE.total_seconds()), str(self.page), str(most))
        verb = "edit" if edit else "redrive"
        arguments = ("dlq", verb, QUEUE, "--all", *edit, "--yes", "--json", "--backend", self.url)
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *bounds, *arguments],
            cwd=self.folder,
            env=environment(**self.stand.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        """Waits for a redrive to end by itself. It ends with 1 where it had to leave some that were leased."""
        output, said = process.communicate()
        assert json.loads(output or "{}").get("queue") == QUEUE, said
        assert process.returncode in {0, 1}, said

    def redrive_under_kills(self, *edit: str) -> int:
        """Redrives all, or edits them so, in processes that are killed at random. How many are left then."""
        chance, count = random.Random(SEED), self.left()
        kills = 0
        while kills < KILLS:
            process = self._redrive_down_to(
                count - (kills + 1) * count // (KILLS + 1), count // (KILLS + 1) // 2, *edit
            )
            time.sleep(chance.uniform(0, 0.02))  # the moment of the crash is what varies here
            process.kill()
            if process.wait() == -signal.SIGKILL:
                kills += 1
            else:  # it had just ended: killed ones hold what is left
                assert self.left(), f"kill {kills + 1} came too late: {process.communicate()}"
        return self.left()

    def _redrive_down_to(self, goal: int, more: int, *edit: str) -> subprocess.Popen[str]:
        """A process that is at it when so few are left. Where killed ones hold the rest, it ends: another goes on.

        However late the kill comes, it sends only so many more.
        """
        processes = [self.redrive(*edit, most=max(1, self.left() - goal + more))]

        def is_there() -> bool:
            if processes[-1].poll() is not None:
                self.end(processes[-1])
                processes.append(self.redrive(*edit, most=max(1, self.left() - goal + more)))
                return False
            return self.left() <= goal

        wait_until(is_there, within=90, what=f"{goal} or fewer are left")
        return processes[-1]

    def redrive_the_rest(self, *edit: str) -> None:
        """Goes on until nothing is left: what others hold, or a killed one held, is there once its lease is over."""
        began = time.monotonic()
        while self.left():
            assert time.monotonic() - began < 240, f"{self.left()} are still dead"
            self.end(self.redrive(*edit))

    def copies(self) -> Counter[str]:
        """How often each message is in the queue."""
        return Counter(message.id for message in self.messages())

    def messages(self) -> list[Message]:
        """What is in the queue. It is leased after that, for longer than a test takes."""
        if is_push(self.driver):
            client: Any = self.driver._service.client(10)  # type: ignore[attr-defined]  # its own, at the emulator
            tasks = client.list_tasks(request={"parent": f"{LOCATION}/queues/{QUEUE}", "response_view": "FULL"})
            return [wire.decode(task.http_request.body, QUEUE) for task in tasks]
        found: list[Message] = []
        driver, misses = cast("PullDriver", self.driver), 0
        while misses < 2:
            taken = driver.receive(QUEUE, limit=100, wait=timedelta(milliseconds=500), lease=LONG)
            found += [delivery.message for delivery in taken if delivery.message is not None]
            misses = 0 if taken else misses + 1
        return found

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.driver.close()


@pytest.fixture
def cloud_tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    """An emulator whose queues are paused: what is sent there lies there to be counted."""
    names = [f"{LOCATION}/queues/{name}" for name in (QUEUE, dead_letter_queue(QUEUE))]
    with CloudTasksEmulator() as emulator:
        client = emulator.client()
        for name in names:
            emulator.create_queue(Queue(name=name))
            client.pause_queue(name=name)
        monkeypatch.setenv(VARIABLE, emulator.address)
        url = "cloudtasks://my-project/europe-west1?target=http://127.0.0.1:1/"
        yield Stand(url, "cloudq.drivers.cloud_tasks.driver:CloudTasksDriver", dict(emulator.environment))


@pytest.fixture
def service_bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    """As the stand of that name, with locks that are as long as the leases here."""
    with ServiceBusEmulator() as emulator:
        emulator.create_queue(QUEUE, QueueSettings(lock_duration=LEASE, max_delivery_count=1000))
        monkeypatch.setenv(CONNECTION_STRING, emulator.connection_string)
        yield Stand(
            f"servicebus://?admin_endpoint={emulator.admin_url}",
            "cloudq.drivers.service_bus.driver:ServiceBusDriver",
            {CONNECTION_STRING: emulator.connection_string},
        )


@pytest.fixture(params=[("sqlite", 2), ("sqs_stand", 10), ("cloud_tasks", 10), ("service_bus", 10)], ids=lambda p: p[0])
def letters(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Letters]:
    name, page = request.param
    letters = Letters(request.getfixturevalue(name), page, tmp_path)
    yield letters
    letters.close()


def test_each_verb_does_what_it_says(
    letters: Letters, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """List, show, redrive, edit, export, purge, import, one after the other: each message is sent once in the end."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    ids = letters.fill(6)

    def dlq(verb: str, *arguments: str) -> list[Any]:
        capsys.readouterr()
        for_programs = [] if verb == "export" else ["--json"]
        code = main(["dlq", verb, QUEUE, *arguments, *for_programs, "--backend", letters.url])
        output, said = capsys.readouterr()
        assert code == 0, said
        return [json.loads(line) for line in output.splitlines()]

    listed = dlq("list", "--where", "task=shop.* text='gave up'")
    assert {dead["id"] for dead in listed} == ids
    assert [group["count"] for group in dlq("list", "--groups")] == [6]
    first, second, third, *_ = [dead["key"] for dead in listed]
    assert [dead["id"] for dead in dlq("show", first)] == [listed[0]["id"]]
    dlq("redrive", "--all", "--dry-run")
    assert letters.left() == 6
    dlq("redrive", first)
    dlq("edit", second, "--set", "n=7")
    assert letters.left() == 4
    export = tmp_path / "dead.jsonl"
    export.write_text("".join(json.dumps(line) + "\n" for line in dlq("export")))
    dlq("purge", third, "--yes")
    assert letters.left() == 3
    dlq("purge", "--all", "--yes")
    assert letters.left() == 0
    dlq("import", str(export))
    found = {message.id: message for message in letters.messages()}
    assert set(found) == ids
    assert {message.payload["n"] for message in found.values()} == {1, 7}
    assert {times_redriven(message, None) for message in found.values()} == {1}
    assert [edit.what for edit in edits_of(found[listed[1]["id"]])] == [["payload"]]


def test_a_redrive_that_is_killed_five_times_loses_nothing(
    letters: Letters, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL in the middle, five times; the same command goes on. Each message is in its queue, once or twice."""
    ids = letters.fill(LETTERS)
    between = letters.redrive_under_kills()
    assert between > 0
    letters.redrive_the_rest()
    copies = letters.copies()
    twice = sum(1 for count in copies.values() if count == 2)
    with capsys.disabled():
        print(
            f"\n[redrive, kill -9] {letters.driver!r}: {between} left after {KILLS} kills, {twice} twice, seed {SEED}"
        )
    assert set(copies) == ids
    assert max(copies.values()) <= 2


@pytest.mark.parametrize("letters", [("sqlite", 2)], ids=["sqlite"], indirect=True)
def test_an_edit_that_is_killed_five_times_loses_nothing(letters: Letters) -> None:
    """Every message that is in the queue is as it was edited, once or twice; none is left behind."""
    ids = letters.fill(LETTERS // 2)
    edit = ("--set", "n=7")
    assert letters.redrive_under_kills(*edit) > 0
    letters.redrive_the_rest(*edit)
    found = letters.messages()
    copies = Counter(message.id for message in found)
    assert set(copies) == ids
    assert max(copies.values()) <= 2
    assert {message.payload["n"] for message in found} == {7}


def test_two_operators_at_once_make_no_more_than_two_copies(letters: Letters) -> None:
    """Both redrive all. What one has taken the other leaves, or, on Cloud Tasks, makes the very same copy of."""
    ids = letters.fill(200)
    for process in [letters.redrive() for _ in range(2)]:
        letters.end(process)
    letters.redrive_the_rest()
    copies = letters.copies()
    assert set(copies) == ids
    assert max(copies.values()) <= 2


def test_the_other_operator_sees_what_is_taken(letters: Letters) -> None:
    """It redrives the rest and says how many it left. On Cloud Tasks, which has no leases, the first one sees it."""
    ids = letters.fill(20)
    dead = letters.driver.dead_letters(QUEUE)
    keys = [one.key for one in dead.peek(limit=20)]
    taken = dead.take(keys[:8], limit=8, lease=LONG)
    assert len(taken) == 8
    second = open_driver(letters.url, SYSTEM_CLOCK)
    result = CloudQueue(QUEUE, second, clock=SYSTEM_CLOCK).dead_letters.redrive(keys)
    second.close()
    settled = dead.settle([FinalCall(lease=delivery.lease, step=Ack()) for delivery in taken])
    if letters.driver.capabilities(QUEUE).dead_letter_leases:
        assert (result.redriven, result.missed, result.errors) == (12, 8, ())
        assert [one.error for one in settled] == [None] * 8
        assert letters.copies() == Counter(ids - {delivery.id for delivery in taken})
    else:
        assert (result.redriven, result.missed, result.errors) == (20, 0, ())
        assert {type(one.error) for one in settled} == {LeaseLost}
        assert letters.copies() == Counter(ids)
