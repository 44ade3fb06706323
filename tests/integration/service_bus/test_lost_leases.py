"""Whoever works under a lock that is gone hears of it, and nothing starts under one."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import uuid
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from azure.servicebus import ServiceBusReceiver

from cloudq.core.clock import SystemClock
from cloudq.core.driver import Ack, Final, Outgoing
from cloudq.drivers.service_bus import ServiceBusDriver, links, sdk
from cloudq.emulators.service_bus.runner import ServiceBusEmulator
from tests.chaos.scale import SEED, sized
from tests.integration.processes import end, unexplained, wait_until
from tests.integration.service_bus.place import ORDERED, PLAIN, Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(120, 600), func_only=True)]

LOCK = timedelta(seconds=30)
WAIT = timedelta(seconds=60)
KEYS = 4
EACH = sized(3, 25)
CUTS = sized(3, 25)
SECONDS = 2.5
# How much later than the second run's begin the first may hear of it.
SOON = 1.0


def test_a_cut_session_is_told_before_its_message_runs_again(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Two workers, connections that are cut at random: no run goes on for long beside its successor."""
    place.make(ORDERED, LOCK)
    watched = place.app.tasks["watched"]
    place.app.send_many(
        watched.options(ordering_key=f"key-{key}").call(key=f"key-{key}", n=n, seconds=SECONDS)
        for n in range(EACH)
        for key in range(KEYS)
    )
    for number in range(2):
        place.start("--queue", ORDERED, "--concurrency", str(KEYS), log=f"worker-{number}.log")
    chance = random.Random(SEED)
    for cut in range(CUTS):
        begun = KEYS * EACH * (cut + 1) // (CUTS + 1)
        wait_until(lambda begun=begun: len(runs_of(place)) >= begun, within=60, what=f"{begun} have begun")  # type: ignore[misc]
        time.sleep(chance.uniform(0, 0.4))  # the moment of the cut is what varies here
        place.emulator.faults.drop_connections()
    wait_until(lambda: place.is_empty(ORDERED), within=sized(60, 300), what="all is settled")

    by_message = defaultdict(list)
    for run in runs_of(place).values():
        by_message[run["key"], run["n"]].append(run)
    beside, latest = 0, 0.0
    for message, runs in by_message.items():
        runs.sort(key=lambda run: run["begun"])
        for first, second in pairwise(runs):
            ended = first.get("lost", first.get("done"))
            assert ended is not None, f"{message}: the first run has heard nothing"
            late = ended - second["begun"]
            beside += late > 0
            latest = max(latest, late)
    with capsys.disabled():
        repeats = sum(len(runs) - 1 for runs in by_message.values())
        print(
            f"\n[cut sessions] seed {SEED}: {CUTS} cuts, {repeats} runs again, {beside} beside theirs, {latest:.2f} s"
        )
    assert KEYS * EACH == len(by_message)
    assert latest <= SOON


def test_what_was_done_under_a_cut_session_is_not_done_again_by_the_same_process(place: Place) -> None:
    """The service gives it the session again, and doesn't count the delivery; what the cut run did is acknowledged."""
    place.make(ORDERED, LOCK)
    watched = place.app.tasks["watched"]
    place.app.send_many(watched.options(ordering_key="key").call(key="key", n=n, seconds=60.0) for n in range(2))
    place.start("--queue", ORDERED)
    for begun in (1, 2):
        wait_until(lambda begun=begun: len(runs_of(place)) >= begun, within=60, what=f"{begun} have begun")  # type: ignore[misc]
        place.emulator.faults.drop_connections()
        wait_until(lambda begun=begun: ended(place) >= begun, within=60, what="it has heard of it")  # type: ignore[misc]
    wait_until(lambda: place.is_empty(ORDERED), within=60, what="all is settled")
    assert [0, 1] == sorted(run["n"] for run in runs_of(place).values())
    assert all("lost" in run for run in runs_of(place).values())


def ended(place: Place) -> int:
    """How many runs have heard of a loss, or were done."""
    return sum(len(run) > 3 for run in runs_of(place).values())


def runs_of(place: Place) -> dict[str, dict]:
    """Each run: what it is of, when it began, and when it heard of a loss or was done."""
    runs: dict[str, dict] = defaultdict(dict)
    for run, key, n, what, at in place.lines("watched.txt"):
        runs[run] |= {"key": key, "n": int(n), what: float(at)}
    return runs


def test_a_message_outlives_its_connection(place: Place) -> None:
    """On a queue without sessions nobody is told of a cut: the lock is the message's, settled by another connection."""
    place.make(PLAIN, LOCK)
    driver = place.app.driver()
    told: list[str] = []
    driver.send([Outgoing(id=uuid.uuid4().hex, queue=PLAIN, body=b"{}")])
    (delivery,) = driver.receive(PLAIN, limit=1, wait=WAIT, lease=LOCK)
    driver.watch(delivery.lease, told.append)
    place.emulator.faults.drop_connections()
    driver.extend([delivery.lease], LOCK)  # which may be what finds it out
    assert driver.extend([delivery.lease], LOCK)[0].error is None
    assert driver.settle([Final(lease=delivery.lease, step=Ack())])[0].error is None
    assert [] == told


class Sleeping(SystemClock):
    """A clock of a machine that can be suspended by a test."""

    __slots__ = ("slept",)

    def __init__(self) -> None:
        self.slept = timedelta(0)

    def elapsed(self) -> timedelta:
        return super().elapsed() + self.slept


class Ahead:
    """The service's time, which a test moves."""

    def __init__(self) -> None:
        self.by = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.by


@pytest.mark.parametrize("queue", [PLAIN, ORDERED])
def test_what_lay_in_the_socket_of_a_machine_that_slept(
    tmp_path: Path, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message came while nobody looked, and its lock is over: it isn't handed over, and comes again elsewhere."""
    lock, clock, service = timedelta(minutes=1), Sleeping(), Ahead()
    with ServiceBusEmulator(admin_port=None, clock=service) as emulator:
        place = Place(tmp_path, emulator, monkeypatch)
        place.make(queue, lock)
        driver = ServiceBusDriver("", connection_string=place.emulator.connection_string, clock=clock)
        other = ServiceBusDriver("", connection_string=place.emulator.connection_string)
        key = "a" if queue == ORDERED else None

        def send() -> None:
            other.send([Outgoing(id=uuid.uuid4().hex, queue=queue, body=b"{}", ordering_key=key)])

        # The first tells how long locks last.
        send()
        (first,) = driver.receive(queue, limit=1, wait=WAIT, lease=LOCK)
        driver.settle([Final(lease=first.lease, step=Ack())])

        read, asleep, woken = sdk.read, threading.Event(), threading.Event()

        def read_after_sleep(receiver: object, wait: timedelta = sdk.READ) -> bool:
            if isinstance(receiver, ServiceBusReceiver) and asleep.is_set() and not woken.is_set():
                # The machine is suspended in the middle of a wait: the service goes on.
                send()
                wait_until(lambda: place.locked(queue) == 1, within=60, what="it is sent, and locked")
                clock.slept += lock
                service.by += lock
                emulator.tick()
                woken.set()
            return read(receiver, wait)  # type: ignore[arg-type]  # as it came

        monkeypatch.setattr(links.sdk, "read", read_after_sleep)
        asleep.set()
        got = driver.receive(queue, limit=1, wait=WAIT, lease=LOCK)
        assert woken.is_set()
        assert [] == [delivery.deliveries for delivery in got if delivery.deliveries == 1]
        monkeypatch.undo()
        driver.close()
        if not got:
            (again,) = other.receive(queue, limit=1, wait=WAIT, lease=LOCK)
            assert other.settle([Final(lease=again.lease, step=Ack())])[0].error is None
        other.close()


def test_a_frozen_worker_starts_nothing_under_a_lock_that_is_over(place: Place) -> None:
    """SIGSTOP until all that it held has run elsewhere: once it goes on, it starts what comes then and nothing else."""
    place.make(PLAIN, timedelta(seconds=2))
    frozen = place.start("--concurrency", "1", "--prefetch", "20", log="frozen.log")
    place.send("long", range(6), seconds=0.3)
    wait_until(lambda: len(place.lines("started.txt")) >= 2, within=60, what="it has begun the second")
    os.kill(frozen.pid, signal.SIGSTOP)
    # These come by the credit that it has given, or wait for the other.
    place.send("long", range(6, 12), seconds=0.3)
    other = place.start("--concurrency", "2", log="other.log")
    wait_until(place.is_empty, within=60, what="all has run elsewhere")
    end(other)
    before = len(place.lines("started.txt"))
    os.kill(frozen.pid, signal.SIGCONT)
    place.send("long", [99], seconds=0.0)
    wait_until(lambda: 99 in place.ran(), within=60, what="it works again")
    assert [["99", "1", str(frozen.pid)]] == place.lines("started.txt")[before:]
    assert {*range(12), 99} == set(place.ran())
    assert [] == unexplained(place.log("frozen.log"))
