"""The day of the switch: what real Celery wrote is bridged by processes that are killed, and none of it is lost."""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from cloudq.core import wire
from cloudq.core.message import Message
from tests.chaos.scale import SEED, sized
from tests.integration.processes import environment, wait_until
from tests.integration.sqs.conftest import REGION, Place
from tests.servers import databases

pytestmark = [pytest.mark.slow, pytest.mark.timeout(sized(120, 900), func_only=True)]

FOLDER = Path(__file__).parent
COUNT, UNBRIDGEABLE, RETRIES = sized((70, 8, 2), (1_000, 40, 20))
# By the number of the store behind which they come, then at any moment.
KILLS, RANDOM_KILLS = sized((1, 0), (6, 8))
HOUR = timedelta(hours=1)


class Shop(NamedTuple):
    """Both sides of the switch.

    Attributes:
        folder: Where the files are.
        broker: Celery's, as the bridge takes it.
        environment: Of all processes.
    """

    folder: Path
    broker: str
    environment: dict[str, str]

    @property
    def database(self) -> Path:
        return self.folder / "cloudq.db"

    def produce(self) -> tuple[dict[str, int], dict[str, str]]:
        """What was sent, by Celery's ids, and why some of it stays."""
        said = self.python(str(FOLDER / "produce.py"), str(COUNT), str(UNBRIDGEABLE))
        told = json.loads(said)
        return told["sent"], told["stays"]

    def python(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=FOLDER,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        return done.stdout

    def bridge(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "cloudq", "bridge", "celery", "--from", self.broker, "--app", "shop", *arguments],
            cwd=FOLDER,
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def bridge_killed(self, chance: random.Random) -> None:
        """Bridges that are killed, behind a store or at any moment."""
        for _ in range(KILLS):
            process = self.bridge("--json", DIE_AFTER=str(chance.choice([1, 1, 2])), BRIDGE_LEASE="2")
            process.communicate(timeout=120)
            assert -signal.SIGKILL == process.returncode
        for _ in range(RANDOM_KILLS):
            process = self.bridge("--json", BRIDGE_LEASE="2")
            assert process.stderr is not None
            process.stderr.readline()
            time.sleep(chance.uniform(0.0, 0.3))  # the moment of the crash is what varies here
            process.kill()
            process.communicate(timeout=120)

    def bridge_all(self, until: Callable[[], bool] | None = None) -> tuple[dict[str, Any], dict[str, str]]:
        """The last bridge's summary, and why what stays does. It ends by itself, or by SIGTERM once it is `until`."""
        process = self.bridge("--json", *(() if until else ("--idle", "1")))
        try:
            if until is not None:
                assert process.stderr is not None
                process.stderr.readline()  # it listens to signals before it says what it begins
                wait_until(until, within=sized(60, 300), what="all of it is bridged")
                process.send_signal(signal.SIGTERM)
            out, error = process.communicate(timeout=sized(60, 300))
        finally:
            process.kill()
        assert 1 == process.returncode, error  # some stay
        *stays, last = map(json.loads, out.splitlines())
        return last["summary"], {one["stays"]["id"]: one["stays"]["why"] for one in stays}

    def messages(self) -> list[Message]:
        """What cloudq's backend has."""
        with closing(sqlite3.connect(self.database)) as connection:
            rows = connection.execute("select queue, body from message order by seq").fetchall()
        return [wire.decode(body, queue) for queue, body in rows]

    def work(self) -> list[int]:
        """What of it runs now, by a worker of cloudq's."""
        self.python("-m", "cloudq", "worker", "--app", "shop", "--burst", "--log-level", "error")
        ledger = self.folder / "ledger"
        return [int(line) for line in ledger.read_text().split()] if ledger.exists() else []


def opened(folder: Path, broker: str, url: str, **more: str) -> Shop:
    root = str(Path(__file__).parents[3])
    return Shop(
        folder,
        broker,
        environment(
            SHOP_URL=f"sqlite:///{folder / 'cloudq.db'}{url}",
            SHOP_LEDGER=str(folder / "ledger"),
            PYTHONPATH=os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])]),
            **more,
        ),
    )


@pytest.fixture
def server() -> Iterator[databases.Redis]:
    server = databases.Redis()
    yield server
    server.close()


def report(capsys: pytest.CaptureFixture[str], where: str, messages: list[Message], stays: dict[str, str]) -> None:
    ids = {message.id for message in messages}
    with capsys.disabled():
        print(
            f"\n[bridge from {where}] seed {SEED}: {len(ids):,} calls bridged, {len(messages) - len(ids)} repeated by "
            f"{KILLS + RANDOM_KILLS} kills, {len(stays)} stay: {dict(Counter(stays.values()))}"
        )


def check_times(messages: list[Message], sent: dict[str, int]) -> None:
    """An ETA holds, and what Celery has tried counts."""
    now = datetime.now(UTC)
    for message in messages:
        way = sent[message.id] % 10
        late = way in {4, 5} or sent[message.id] < 0
        assert late is (message.not_before is not None and message.not_before > now + HOUR / 2), message
        assert (2 if way == 5 and sent[message.id] >= 0 else 1 if sent[message.id] < 0 else 0) == message.attempt_base
        assert (way == 7 and sent[message.id] >= 0) is (message.expires_at is not None)


def test_from_redis(tmp_path: Path, server: databases.Redis, capsys: pytest.CaptureFixture[str]) -> None:
    """Also what a killed worker held, retries that wait among it; where names are known, no repeat is stored."""
    shop = opened(tmp_path, server.url, "", SHOP_BROKER=server.url)
    with redis.Redis(port=server.port) as client:
        held = hold_retries(shop, client)
        sent, stays = shop.produce()
        sent |= held
        shop.bridge_killed(random.Random(SEED))
        summary, left = shop.bridge_all(lambda: left_alone(client) == set(stays))
        there = left_alone(client)
        assert 0 == client.hlen("unacked") == client.zcard("unacked_index")
    messages = shop.messages()
    report(capsys, "Redis", messages, left)
    assert sorted(sent) == sorted(message.id for message in messages)
    check_times(messages, sent)
    assert stays == left
    assert set(stays) == there
    assert summary["stay"] == len(stays)
    if not RANDOM_KILLS:
        assert summary["duplicates"]  # those of the page that was stored, and not taken out
    ran = Counter(shop.work())
    waiting = [sent[message.id] for message in shop.messages()]
    assert sorted(sent.values()) == sorted([*ran.elements(), *waiting])


def left_alone(client: redis.Redis) -> set[str]:
    """The ids of what is in the lists."""
    raws = [raw for key in client.keys("celery*") for raw in client.lrange(key, 0, -1)]
    return {json.loads(raw)["headers"]["id"] for raw in raws}


def hold_retries(shop: Shop, client: redis.Redis) -> dict[str, int]:
    """A real worker of Celery's tries some tasks, holds their retries until they are due, and is killed."""
    code = f"from celery_shop import flaky; print([flaky.delay(-n).id for n in range(1, {RETRIES + 1})])"
    ids = json.loads(shop.python("-c", code).replace("'", '"'))
    words = ["worker", "--pool", "solo", "--loglevel", "error", "--without-gossip", "--without-mingle"]
    with (shop.folder / "celery.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "celery_shop", *words, "--without-heartbeat"],
            cwd=FOLDER,
            env=shop.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: all_tried(client, len(ids)), within=60, what="all are tried, and held for their retries")
    finally:
        worker.kill()
        worker.wait()
    return {id_: -n for n, id_ in enumerate(ids, 1)}


def all_tried(client: redis.Redis, count: int) -> bool:
    held = [json.loads(value)[0]["headers"]["retries"] for value in client.hvals("unacked")]
    return [1] * count == held and not client.llen("celery")


def test_from_sqs(tmp_path: Path, place: Place, localstack: str, capsys: pytest.CaptureFixture[str]) -> None:
    """At most what the killed bridge had in hand is repeated, where the backend knows no names."""
    url = place.client.create_queue(QueueName=f"{place.prefix}celery", Attributes={"VisibilityTimeout": "30"})[
        "QueueUrl"
    ]
    options = {"region": REGION, "predefined_queues": {"celery": {"url": url}}}
    shop = opened(
        tmp_path,
        place.url,
        "?dedup_window=0",
        SHOP_BROKER="sqs://",
        SHOP_OPTIONS=json.dumps(options),
        AWS_ENDPOINT_URL=localstack,
    )
    sent, stays = shop.produce()
    shop.bridge_killed(random.Random(SEED))
    wait_until(lambda: place.counts("celery")[1] == 0, within=60, what="the leases of the killed ones are over")
    _, left = shop.bridge_all()
    messages = shop.messages()
    report(capsys, "SQS", messages, left)
    repeats = Counter(message.id for message in messages)
    assert set(sent) == set(repeats)
    assert repeats.total() - len(repeats) <= 10 * (KILLS + RANDOM_KILLS)
    check_times(messages, sent)
    assert stays == left
    # They are given back, and anybody's at once.
    assert set(stays) == set(bodies(place, url, len(stays)))


def bodies(place: Place, url: str, count: int) -> list[str]:
    ids: list[str] = []
    while len(ids) < count:
        answer = place.client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=5)
        found = answer.get("Messages", [])
        assert found, ids
        ids += [json.loads(base64.b64decode(one["Body"]))["headers"]["id"] for one in found]
    return ids
