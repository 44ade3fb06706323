"""`cloudq worker` and the other commands on Service Bus, as processes of their own."""

from __future__ import annotations

import json
import signal
import time
from datetime import timedelta

import pytest

from tests.integration.processes import unexplained, wait_until
from tests.integration.service_bus.place import ORDERED, PLAIN, Place

pytestmark = pytest.mark.slow


def test_tasks_are_made_room_for_sent_run_retried_and_redriven(place: Place) -> None:
    """Queues are made, plain and ordered tasks run, a retry keeps its delay, a dead letter is shown and redriven."""
    assert "default" in place.cli("queues", "create", PLAIN, ORDERED)
    worker = place.start()
    place.send("effect", range(5))
    place.app.send_many(
        place.app.tasks["step"].options(ordering_key=key).call(key=key, n=n) for n in range(5) for key in ("a", "b")
    )
    place.send("flaky", [10], delay=1.0)
    place.send("bad", [20])
    wait_until(
        lambda: set(place.ran()) >= {*range(5), 10} and sum(done for _, _, done in place.steps()) == 10,
        within=60,
        what="they have run",
    )
    for key in ("a", "b"):
        assert [*range(5)] == [n for found, n, done in place.steps() if done and found == key]
    first, second = (float(at) for _, _, at in place.lines("tries.txt"))
    assert 1.0 <= second - first < 30.0

    wait_until(lambda: place.counts().dead_letter == 1, within=60, what="it is a dead letter")
    stats = json.loads(place.cli("stats", "--queue", PLAIN, "--json"))
    assert (0, 1) == (stats["ready"], stats["dead"])
    listed = place.cli("dlq", "list", PLAIN)
    assert "number 20 is no good" in listed
    letter = json.loads(place.cli("dlq", "list", PLAIN, "--json"))
    assert "number 20 is no good" in place.cli("dlq", "show", PLAIN, letter["key"])
    (place.folder / "mended").touch()
    place.cli("dlq", "redrive", PLAIN, letter["key"])
    wait_until(lambda: place.ran()[20] == 1 and place.is_empty(), within=60, what="it has run")
    assert 0 == place.counts().dead_letter
    assert {1} == set(place.ran().values())
    worker.send_signal(signal.SIGTERM)
    assert 0 == worker.wait(60)
    assert [] == unexplained(place.log())
    assert "SharedAccessKey" not in place.log()


def test_a_task_of_two_locks_runs_once(place: Place) -> None:
    """With two workers, and a sibling in the same process that burns CPU all the while."""
    lock = 3.0  # of which a busy machine may take a part
    place.make(PLAIN, timedelta(seconds=lock))
    place.send("long", [1], seconds=2 * lock)
    place.send("burn", [2], seconds=2 * lock)
    first = place.start(log="first.log")
    wait_until(lambda: len(place.lines("started.txt")) == 2, within=60, what="both have started in one process")
    place.start(log="second.log")
    wait_until(place.is_empty, within=60, what="they are settled")
    assert {1: 1, 2: 1} == place.ran()
    assert 2 == len(place.lines("started.txt"))
    assert first.poll() is None
    for name in ("first.log", "second.log"):
        assert "lost the lease" not in place.log(name)


@pytest.mark.parametrize("queue", [PLAIN, ORDERED])
def test_an_idle_worker_ends_at_once(place: Place, queue: str) -> None:
    """Its poll is ended, with the credit taken back: it leaves long before the poll would have ended, and what
    is sent then is locked to nobody.
    """
    place.make(queue, timedelta(minutes=1))
    worker = place.start("--queue", queue)
    wait_until(lambda: place.emulator._listener.connections, within=60, what="it polls")
    time.sleep(1)  # whatever it does at its start is done
    worker.send_signal(signal.SIGTERM)
    began = time.monotonic()
    code = worker.wait(60)
    took = time.monotonic() - began
    print(f"\n[sigterm] an idle worker of {queue} ended after {took:.2f} s")
    assert 0 == code, place.log()
    assert took < 7
    wait_until(lambda: not place.emulator._listener.connections, within=60, what="all are closed")
    if queue == PLAIN:
        place.send("effect", [1])
        assert (1, 0) == (place.counts().active, place.locked())


def test_what_waits_in_a_stopped_worker_is_given_back_at_once(place: Place) -> None:
    """After SIGTERM, what waited behind a task that runs is received by another client, as if never delivered."""
    waiting = 40
    place.make(PLAIN, timedelta(minutes=1))
    place.send("held", range(waiting + 1))
    worker = place.start("--concurrency", "1", "--prefetch", str(waiting), "--grace", "60")
    wait_until(lambda: len(place.lines("started.txt")) == 1 and place.locked() > waiting // 2, within=60, what="held")
    worker.send_signal(signal.SIGTERM)
    took = wait_until(lambda: place.locked() == 1, within=30, what="those that wait are given back")
    deliveries = []
    driver = place.app.driver()
    while len(deliveries) < waiting:
        deliveries += driver.receive(PLAIN, limit=waiting, wait=timedelta(seconds=30), lease=timedelta(minutes=1))
    assert {1} == {delivery.deliveries for delivery in deliveries}
    (place.folder / "go").touch()
    assert 0 == worker.wait(60), place.log()
    print(f"\n[sigterm] given back after {took:.2f} s")
