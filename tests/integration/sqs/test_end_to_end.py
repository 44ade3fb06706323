"""The library and the command line on SQS, as LocalStack has it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import defaultdict
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq import App, RetryPolicy
from cloudq.core import wire
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Outgoing
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered
from cloudq.drivers.sqs import SQSDriver
from cloudq.testing.conformance import carry_out
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.integration.processes import end, environment, start_worker, wait_until
from tests.integration.sqs.conftest import REGION, Calls, Place

# Only the test itself is timed: the first one's fixtures may have to install LocalStack.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

SECOND = timedelta(seconds=1)
ZERO = timedelta(0)


def cloudq(folder: Path, *arguments: str) -> list[str]:
    """The lines that a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "cloudq", *arguments],
        cwd=folder,
        env=environment(CLOUDQ_APP="app"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout.splitlines()


def driver_of(place: Place) -> SQSDriver:
    return SQSDriver(REGION, prefix=place.prefix, client=place.client, look_wait=ZERO)


def test_the_command_line_from_queue_to_redrive(shop: Path, place: Place) -> None:
    """A task is sent and run; one that fails is listed, shown, redriven and purged; the numbers follow."""
    cloudq(shop, "send", "done", '{"name": "one"}')
    cloudq(shop, "send", "broken", '{"n": 42}')
    assert 2 == json.loads(cloudq(shop, "stats", "--json")[0])["ready"]
    cloudq(shop, "worker", "--burst", "--lease", "30")
    assert (shop / "one").exists()
    (listed,) = map(json.loads, cloudq(shop, "dlq", "list", "--json"))
    assert "ValueError: no such order: 42" in listed["failure"]["reason"]
    assert "no such order: 42" in "\n".join(cloudq(shop, "dlq", "show", "default", listed["key"]))
    assert ["redrove 1 of 1 dead letters of queue 'default'"] == cloudq(shop, "dlq", "redrive", "default", "--all")
    stats = json.loads(cloudq(shop, "stats", "--json")[0])
    assert (1, 0, 0) == (stats["ready"], stats["in_flight"], stats["dead"])
    cloudq(shop, "worker", "--burst", "--lease", "30")
    assert ["deleted 1 dead letters of queue 'default'"] == cloudq(shop, "dlq", "purge", "default", "--all", "--yes")
    assert (0, 0) == place.counts("default") == place.counts("default-dlq")


def test_an_event_written_by_hand_is_run_and_ours_is_read(shop: Path, place: Place) -> None:
    """Any program may send a CloudEvent; and what cloudq sends is a plain JSON text to any program."""
    url = place.url_of("default")
    event = {"specversion": "1.0", "id": "1", "source": "/shell", "type": "done", "data": {"name": "by-hand"}}
    place.client.send_message(QueueUrl=url, MessageBody=json.dumps(event))
    cloudq(shop, "worker", "--burst", "--lease", "30")
    assert (shop / "by-hand").exists()
    cloudq(shop, "send", "done", '{"name": "read"}')
    (message,) = place.client.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
    assert ("done", {"name": "read"}) == (json.loads(message["Body"])["type"], json.loads(message["Body"])["data"])


def test_a_stopped_worker_gives_back_what_it_did_not_start(place: Place, queue: str, tmp_path: Path) -> None:
    """After SIGTERM during one task, those that waited behind it are receivable, though their leases last for long."""
    (tmp_path / "slow.py").write_text(
        f"""
import time
from pathlib import Path
import cloudq

app = cloudq.App({place.url!r})

@app.task("wait")
def wait(n: int) -> None:
    (Path(__file__).parent / "started").touch()
    while not (Path(__file__).parent / "go").exists():
        time.sleep(0.01)
"""
    )
    app = App(place.url)
    for n in range(8):
        app.send("wait", {"n": n})
    app.close()
    process = start_worker(
        tmp_path, "--app", "slow", "--concurrency", "1", "--prefetch", "7", "--grace", "60", "--lease", "60"
    )
    try:
        wait_until((tmp_path / "started").exists, within=60, what="a task has started")
        wait_until(lambda: place.counts(queue) == (0, 8), within=60, what="all are in the worker's hands")
        process.terminate()
        took = wait_until(lambda: place.counts(queue)[0] == 7, within=25, what="seven are given back")
        (tmp_path / "go").touch()
        code = process.wait(60)
    finally:
        end(process)
    assert 0 == code, (tmp_path / "worker.log").read_text()
    assert (7, 0) == place.counts(queue)
    print(f"\ngiven back after {took:.2f} s")


def test_what_the_service_moves_is_understood(place: Place, queue: str) -> None:
    """A message that killed its worker too often says so in the dead-letter queue; moved back, it starts anew."""
    url, dead_url = place.url_of(queue), place.url_of(f"{queue}-dlq")
    attributes = place.client.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]
    policy = json.loads(attributes["RedrivePolicy"]) | {"maxReceiveCount": 2}
    place.client.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": json.dumps(policy)})
    driver = driver_of(place)
    app = App()
    with app.using(driver):
        sent = app.send("done", {"name": "x"})
        for _ in range(2):
            place.client.receive_message(QueueUrl=url, VisibilityTimeout=0, WaitTimeSeconds=5)
        assert [] == driver.receive(queue, limit=1, wait=SECOND, lease=SECOND)
        (dead,) = app.queue(queue).dead_letters.peek()
        assert (sent.id, "worker died or lease expired") == (dead.id, dead.failure.reason.partition(" 2")[0])
        arn = place.client.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]
        place.client.start_message_move_task(SourceArn=arn["QueueArn"])
        (again,) = driver.receive(queue, limit=1, wait=timedelta(seconds=20), lease=SECOND)
        assert sent.id == again.id


def test_a_dead_letter_of_ours_that_the_service_moves_back_starts_anew(place: Place, queue: str) -> None:
    """Its attempts count from one, and when it dies again it is a dead letter again."""
    driver = driver_of(place)
    app = App()
    with app.using(driver):
        app.send("broken")
        _kill(driver, queue)
        (dead,) = app.queue(queue).dead_letters.peek()
        place.client.start_message_move_task(SourceArn=_arn(place, f"{queue}-dlq"), DestinationArn=_arn(place, queue))
        again = _kill(driver, queue)
        assert again.message is not None
        # The move's own receive is one that LocalStack counts on, unlike SQS; so the attempt is but an upper bound.
        assert (dead.id, 0, again.deliveries) == (again.id, again.message.attempt_base, again.attempt)
        assert (2, None) == (again.message.generation, again.failure)
        assert [dead.id] == [one.id for one in app.queue(queue).dead_letters.peek()]


def test_what_another_program_set_beside_a_body_goes_with_it(place: Place, queue: str) -> None:
    """Its attributes are in `raw`, beside the dead letter, and beside what is redriven."""
    attributes = {
        "tenant": {"DataType": "String", "StringValue": "acme"},
        "picture": {"DataType": "Binary.png", "BinaryValue": b"\0x"},
    }
    body = wire.encode(Message(id="1", task="t", queue=queue)).decode()
    place.client.send_message(QueueUrl=place.url_of(queue), MessageBody=body, MessageAttributes=attributes)
    driver = driver_of(place)
    with App().using(driver) as app:
        dead = _kill(driver, queue)
        assert set(attributes) == set(dead.raw["MessageAttributes"])
        assert 1 == app.queue(queue).dead_letters.redrive().redriven
        (again,) = driver.receive(queue, limit=1, wait=timedelta(seconds=20), lease=SECOND)
        assert attributes == again.foreign == dead.foreign


def test_many_dead_letters_are_redriven_in_few_calls(place: Place, queue: str) -> None:
    """Chosen ten by ten, they aren't looked for through the whole queue each time."""
    driver = driver_of(place)
    app = App()
    with app.using(driver):
        failure = Failure(reason="it broke")
        for start in range(0, 100, 10):
            driver.send(
                [
                    Outgoing(
                        id=str(n),
                        queue=f"{queue}-dlq",
                        body=wire.encode(Message(id=str(n), task="t", queue=queue)),
                        failure=failure,
                    )
                    for n in range(start, start + 10)
                ]
            )
        calls = Calls(place.client)
        assert 100 == app.queue(queue).dead_letters.redrive().redriven
        counted = calls.taken()
        print(f"\n100 redriven: {dict(counted)}")
        assert (100, 0) == place.counts(queue)
        assert (0, 0) == place.counts(f"{queue}-dlq")
        assert counted.total() <= 80


def test_a_fifo_queue_keeps_the_order_of_each_key(place: Place) -> None:
    """With several threads, tasks of one key run one after the other, as sent, a failing one before its followers."""
    driver = driver_of(place)
    driver.make_queue("orders.fifo")
    app = App()
    done: dict[str, list[int]] = defaultdict(list)
    failed: set[str] = set()
    lock = threading.Lock()

    @app.task("step", queue="orders.fifo", ordering_key="{key}", retry=RetryPolicy(wait=lambda _: 0))
    def step(key: str, n: int) -> None:
        with lock:
            if n == 2 and key not in failed:
                failed.add(key)
                raise ValueError("once")
            done[key].append(n)

    with app.using(driver):
        app.send_many(step.call(key, n) for n in range(6) for key in ("a", "b", "c"))
        worker = Worker(app, WorkerSettings(max_tasks=21, concurrency=4, wait=SECOND))
        worker.run()
    assert {key: list(range(6)) for key in "abc"} == done
    assert (0, 0) == place.counts("orders.fifo")


def _arn(place: Place, queue: str) -> str:
    answer = place.client.get_queue_attributes(QueueUrl=place.url_of(queue), AttributeNames=["QueueArn"])
    return str(answer["Attributes"]["QueueArn"])


def _kill(driver: SQSDriver, queue: str) -> Delivery:
    """Receives the message that is there and dead-letters it, as a worker does."""
    (delivery,) = driver.receive(queue, limit=1, wait=10 * SECOND, lease=30 * SECOND)
    assert delivery.message is not None
    failure = Failure(reason="it broke", generation=delivery.message.generation)
    outcome = DeadLettered(reason="it broke", failure=failure)
    carried = carry_out(driver, delivery, outcome, SYSTEM_CLOCK.now())
    assert (carried.copied, carried.error) == (True, None)
    return delivery
