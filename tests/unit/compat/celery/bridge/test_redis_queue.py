"""Celery's queue on a real Redis, read in place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
import redis
from kombu import Connection, Consumer, Exchange, Queue
from kombu.common import Broadcast

from cloudq.compat.celery.bridge import redis_queue
from cloudq.compat.celery.bridge.redis_queue import RedisQueue, open_redis
from cloudq.errors import BackendError, PermissionDenied
from tests.servers import databases
from tests.unit.compat.celery.bridge.messages import written

pytestmark = pytest.mark.slow  # it starts a server

ZERO = timedelta(0)
SEP = "\x06\x16"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = databases.Redis()
    yield server.url
    server.close()


@pytest.fixture
def client(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        client.flushall()
        yield client


@pytest.fixture
def queue(url: str, client: redis.Redis) -> Iterator[RedisQueue]:
    queue = open_redis(url, "celery", prefix="", steps=None)
    yield queue
    queue.close()


def push(client: redis.Redis, *tags: str, key: str = "celery") -> None:
    """As a producer of kombu's does."""
    for tag in tags:
        client.lpush(key, written(tag=tag))


def hold(client: redis.Redis, tag: str, key: str = "celery", exchange: str = "", prefix: str = "") -> None:
    """As a worker of kombu's has it in hand."""
    client.hset(f"{prefix}unacked", tag, json.dumps([json.loads(written(tag=tag)), exchange, key]))
    client.zadd(f"{prefix}unacked_index", {tag: 1.0})


def tags(found) -> list[str]:
    return [json.loads(one.raw)["properties"]["delivery_tag"] for one in found]


def test_the_oldest_is_read_first_and_nothing_is_moved(queue, client):
    """As kombu would hand them over."""
    push(client, "a", "b", "c")
    assert ["a", "b", "c"] == tags(queue.read(ZERO))
    assert 3 == client.llen("celery") == queue.waiting()


def test_what_is_taken_is_gone(queue, client):
    """One by one, wherever it is; also if somebody was quicker."""
    push(client, "a", "b", "c")
    found = queue.read(ZERO)
    queue.take(found[1:2])
    assert 2 == client.llen("celery")
    client.rpop("celery")
    queue.take([found[0], found[2]])
    assert 0 == client.llen("celery")
    assert [] == queue.read(ZERO)


def test_what_is_left_stays_and_isnt_found_again(queue, client):
    """What comes later is, and so is what lies behind it."""
    push(client, "a", "b", "c")
    found = queue.read(ZERO)
    queue.take(found[1:2])
    queue.leave([found[0], found[2]])
    assert [] == queue.read(ZERO)
    push(client, "d")
    assert ["d"] == tags(queue.read(ZERO))
    assert 3 == client.llen("celery")


def test_what_somebody_else_took_is_noticed(queue, client):
    """Then all that is there is looked at anew: no message is behind what is left."""
    push(client, "a", "b")
    queue.leave(queue.read(ZERO))
    client.rpop("celery")
    assert ["b"] == tags(queue.read(ZERO))


def test_the_lists_of_priorities(queue, client):
    """In kombu's order: the one without a number is the most urgent."""
    push(client, "low", key=f"celery{SEP}9")
    push(client, "mid", key=f"celery{SEP}3")
    push(client, "high")
    places = []
    for _ in range(3):
        found = queue.read(ZERO)
        queue.take(found)
        places += [(one.place, *tags([one])) for one in found]
    assert [("celery", "high"), ("celery, priority 3", "mid"), ("celery, priority 9", "low")] == places
    assert [] == client.keys("celery*")


def test_other_steps_and_a_prefix(url, client):
    """As the broker's transport options say."""
    push(client, "a", key=f"shop:mails{SEP}5")
    push(client, "b", key="shop:mails")
    hold(client, "c", key="mails", prefix="shop:")
    queue = open_redis(url, "mails", prefix="shop:", steps=[5, 0])
    assert 3 == queue.waiting()
    seen = []
    while found := queue.read(ZERO):
        seen += tags(found)
        queue.take(found)
    queue.close()
    assert ["c", "b", "a"] == seen
    assert [] == client.keys("*")


def test_what_workers_held_comes_first(queue, client):
    """That of this queue: by its name, or by a route that kombu keeps. Others' stays with them."""
    push(client, "waits")
    hold(client, "held")
    hold(client, "routed", key="sums", exchange="direct")
    client.sadd("_kombu.binding.direct", f"sums{SEP}{SEP}celery")
    hold(client, "others", key="mails")
    found = queue.read(ZERO)
    assert {"held", "routed"} == set(tags(found))
    assert {"unacked"} == {one.place for one in found}
    queue.take(found)
    assert [b"others"] == client.hkeys("unacked") == client.zrange("unacked_index", 0, -1)
    assert ["waits"] == tags(queue.read(ZERO))


@pytest.fixture
def bound(url: str, client: redis.Redis) -> Iterator[None]:
    """Queues that kombu has bound and consumes, with all that is published held by a consumer that never acknowledges.

    `mails` by a topic, `sums` by another one, `news` and the queue that kombu names itself by a broadcast.
    """
    shop, news = Exchange("shop", type="topic"), Exchange("news", type="fanout")
    mails, sums = Queue("mails", shop, routing_key="shop.mail.#"), Queue("sums", shop, routing_key="shop.*.sum")
    with Connection(url) as connection:
        channel = connection.channel()
        channel.do_restore = False  # as if it was killed: it gives nothing back
        held: list[str] = []
        queues = [mails, sums, Broadcast("news"), Queue("all", news)]
        with Consumer(channel, queues, on_message=lambda message: held.append(message.delivery_tag)):
            with suppress(TimeoutError):
                connection.drain_events(timeout=0.1)  # the broadcasts are subscribed to now
            with Connection(url) as senders:
                for tag, exchange, key in [
                    ("mail", shop, "shop.mail.urgent.now"),
                    ("sum", shop, "shop.a.sum"),
                    ("news", news, ""),
                ]:
                    properties = {"headers": {"task": "shop.add", "id": tag}, "delivery_tag": tag}
                    senders.Producer(exchange=exchange).publish([], routing_key=key, **properties)
            for _ in range(600):
                if client.hlen("unacked") == 3:
                    break
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.1)
            assert 3 == client.hlen("unacked"), held
            yield


def test_what_came_by_a_topic_is_its_queues_and_a_broadcast_nobodys(url, client, bound):
    """As kombu has bound them. What nobody can say a queue of is listed by the bridge of each, and taken by none."""
    for name, own in (("mails", "shop.mail.urgent.now"), ("sums", "shop.a.sum")):
        queue = open_redis(url, name, prefix="", steps=None)
        found = queue.read(ZERO)
        queue.close()
        keys = {json.loads(one.raw)["properties"]["delivery_info"]["routing_key"]: one.astray for one in found}
        assert {own, ""} == set(keys)
        assert keys[own] is None
        assert "exchange 'news'" in keys[""]


@pytest.mark.parametrize(
    ("bindings", "key", "expected"),
    [
        ([f"shop.#{SEP}^shop\\..*?${SEP}celery"], "shop.a.b", "own"),
        ([f"shop.#{SEP}^shop\\..*?${SEP}mails"], "shop.a.b", "another's"),
        ([f"shop.#{SEP}^shop\\..*?${SEP}mails"], "bank.a", "nobody's"),
        ([f"shop.#{SEP}^shop(${SEP}celery"], "shop.a", "nobody's"),
        ([f"sums{SEP}{SEP}mails"], "sums", "another's"),
        ([f"sums{SEP}{SEP}celery", f"sums{SEP}{SEP}mails"], "sums", "own"),
        ([f"sums{SEP}{SEP}bcast.1234"], "sums", "nobody's"),
        ([], "sums", "nobody's"),
        ([], "made", "another's"),
    ],
    ids=["topic", "other topic", "no pattern", "broken pattern", "direct", "both", "broadcast", "unbound", "Celery's"],
)
def test_whose_a_held_message_is(queue, client, bindings, key, expected):
    """By the bindings of its exchange, here `made`: its own queue's, another one's, or nobody's that is known."""
    for binding in bindings:
        client.sadd("_kombu.binding.made", binding)
    hold(client, "held", key=key, exchange="made")
    found = queue.read(ZERO)
    assert (["held"] if expected != "another's" else []) == tags(found)
    assert (expected == "nobody's") is any(one.astray for one in found)


def test_what_was_left_of_it_isnt_found_again(queue, client):
    """A hash of any size is gone through in parts."""
    for number in range(500):
        hold(client, f"t{number}")
    left = set()
    while found := queue.read(ZERO):
        assert not left & set(tags(found))
        left |= set(tags(found))
        queue.leave(found)
    assert 500 == len(left) == client.hlen("unacked")
    hold(client, "late")
    assert ["late"] == tags(queue.read(ZERO))


def test_a_page_has_a_bound_of_bytes(queue, client, monkeypatch):
    """At least one comes, and one that is too large comes without its bytes."""
    monkeypatch.setattr(redis_queue, "_PAGE_BYTES", 1_500)
    monkeypatch.setattr(redis_queue, "MOST_BYTES", 5_000)
    push(client, "a", "b", "c")
    client.rpush("celery", b"x" * 6_000)
    found = queue.read(ZERO)
    assert (None, 6_000) == (found[0].raw, found[0].size)
    assert ["a", "b"] == tags(found[1:])
    queue.take(found[1:])
    queue.leave(found[:1])
    assert ["c"] == tags(queue.read(ZERO))
    client.hset("unacked", "huge", b"y" * 6_000)
    assert [None] == [one.raw for one in queue.read(ZERO)]


def test_an_entry_that_nobody_can_read_is_found(queue, client):
    """It is to be listed, not overlooked."""
    client.hset("unacked", "odd", b"nonsense")
    assert [b"nonsense"] == [one.raw for one in queue.read(ZERO)]


def test_a_key_of_another_kind(queue, client):
    """Is told as Redis tells it."""
    client.set("celery", "a text")
    with pytest.raises(BackendError, match="WRONGTYPE"):
        queue.read(ZERO)


def test_a_password_that_is_wrong(url, client):
    """Is told without it."""
    client.config_set("requirepass", "right")
    try:
        with pytest.raises(PermissionDenied) as refused:
            open_redis(url.replace("redis://", "redis://:wrong@"), "celery", prefix="", steps=None)
    finally:
        client.execute_command("AUTH", "right")
        client.config_set("requirepass", "")
    assert "wrong" not in str(refused.value).replace("WRONGPASS", "")


def test_a_found_message_shows_no_bytes(queue, client):
    """They may hold what no log should."""
    push(client, "a")
    assert "body" not in repr(queue.read(ZERO))
