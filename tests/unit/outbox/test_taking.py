"""What is taken: what is due, of a key the oldest alone, by one reader each, and nobody for ever behind others."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from cloudq.outbox.opening import open_outbox
from cloudq.outbox.reading import Failed, OutboxReader, Parked
from cloudq.outbox.taking import Taking, Turn
from cloudq.user_database import Dialect, opened, run
from tests.unit.outbox.conftest import bodies, by_key, ids, publish, publish_all, send


def test_up_to_as_many_as_asked_for_oldest_first(engine: Engine, reader: OutboxReader) -> None:
    """A key's are in their order, whatever the batches are."""
    names = ["a", "k:1", "b", "k:2", "c", "j:1", "k:3"]
    send(engine, *names)
    batches = []
    while batch := publish(reader.take(2)):
        batches.append(batch)
    assert all(len(batch) <= 2 for batch in batches)
    published = [name for batch in batches for name in batch]
    assert sorted(published) == sorted(names)
    assert by_key(published) == by_key(names)
    assert [name for name in published if ":" not in name] == ["a", "b", "c"]


def test_a_batch_holds_several_of_a_key_in_a_row(engine: Engine, reader: OutboxReader) -> None:
    """In their order, so that one key with many isn't a batch for each."""
    send(engine, *[f"k:{index:02}" for index in range(12)])
    assert publish(reader.take(10)) == [f"k:{index:02}" for index in range(10)]
    assert publish(reader.take(10)) == ["k:10", "k:11"]


def test_a_batch_leaves_keys_for_others(engine: Engine, reader: OutboxReader) -> None:
    """Of many keys with many it holds few, with several of each: else no other reader had any."""
    send(engine, *[f"k{key}:{index}" for index in range(8) for key in range(8)])
    batch = reader.take(8)
    assert batch is not None
    taken = by_key(bodies(batch))
    assert [["0", "1", "2", "3"]] * 2 == [[name.partition(":")[2] for name in names] for names in taken.values()]


def test_a_batch_is_filled(engine: Engine, reader: OutboxReader) -> None:
    """With as many keys as it takes where these have little each, and with none twice."""
    names = ["k0:1", "k0:2", *[f"k{key}:1" for key in range(1, 10)]]
    send(engine, *names)
    assert sorted(names) == sorted(bodies(reader.take(16)))


def test_keys_and_what_has_none_take_turns(engine: Engine, reader: OutboxReader) -> None:
    """Neither waits for all of the other."""
    send(engine, *[str(index) for index in range(20)], *[f"k{index}:1" for index in range(20)])
    taken = [publish(reader.take(5)) for _ in range(4)]
    assert {":" in name for batch in taken for name in batch} == {True, False}
    assert len([name for batch in taken for name in batch if ":" in name]) >= 5


def test_a_failed_row_holds_back_its_key_alone(engine: Engine, reader: OutboxReader) -> None:
    """Until its time has come."""
    send(engine, "k:1", "k:2", "j:1", "a")
    batch = reader.take(10)
    assert batch is not None
    batch.settle(failed=[Failed(ids(batch, "k:1")[0], "no", timedelta(hours=1))])
    assert sorted(publish_all(reader)) == ["a", "j:1"]
    with engine.begin() as connection:
        connection.execute(text("update cloudq_outbox set due = 0"))
    batch = reader.take(10)
    assert batch is not None
    assert [(row.body, row.attempts) for row in batch.rows] == [(b"k:1", 1), (b"k:2", 0)]


def test_a_parked_row_holds_back_its_key_alone(engine: Engine, reader: OutboxReader) -> None:
    """For as long as it is parked; what is sent later waits too."""
    send(engine, "k:1", "k:2", "j:1", "a")
    batch = reader.take(10)
    assert batch is not None
    batch.settle(parked=[Parked(ids(batch, "k:1")[0], "no"), Parked(ids(batch, "a")[0], "no")])
    send(engine, "k:3", "b")
    assert sorted(publish_all(reader)) == ["b", "j:1"]


def test_queues_that_rest_are_left_out(engine: Engine, reader: OutboxReader) -> None:
    """Others go on."""
    send(engine, "a", "k:1", queue="down.fifo")
    send(engine, "b", "j:1", queue="up.fifo")
    assert sorted(publish(reader.take(10, {"down.fifo", "elsewhere"}))) == ["b", "j:1"]
    assert reader.take(10, ["down.fifo"]) is None
    assert sorted(publish_all(reader)) == ["a", "k:1"]


def test_the_same_key_of_two_queues_is_two(engine: Engine, reader: OutboxReader) -> None:
    """One that can't be published doesn't hold back the other."""
    send(engine, "k:1", queue="one.fifo")
    send(engine, "k:2", queue="two.fifo")
    batch = reader.take(10)
    assert batch is not None
    batch.settle(parked=[Parked(ids(batch, "k:1")[0], "no")])
    assert publish_all(reader) == ["k:2"]


def test_namespaces_are_apart(engine: Engine, url: str, reader: OutboxReader) -> None:
    """A reader sees its own alone, whatever the database takes for the same."""
    for namespace in ("shop", "Shop", "sh\u00f6p"):
        send(engine, f"k:{namespace}", namespace, namespace=namespace)
    assert reader.take(10) is None
    shop = open_outbox(url, "shop")
    assert sorted(publish_all(shop)) == ["k:shop", "shop"]
    shop.close()


def test_every_key_is_met_however_many_there_are(engine: Engine, reader: OutboxReader) -> None:
    """Also behind very many that are parked."""
    send(engine, *[f"parked{index}:1" for index in range(700)])
    with engine.begin() as connection:
        connection.execute(text("update cloudq_outbox set parked_at = 1"))
    names = [f"key{index}:{turn}" for turn in range(3) for index in range(20)]
    send(engine, *names)
    published: list[str] = []
    for _ in range(300):
        published += publish(reader.take(4))
        if len(published) == len(names):
            break
    assert by_key(published) == by_key(names)


def test_a_key_that_always_has_more_doesn_t_keep_others_waiting(engine: Engine, reader: OutboxReader) -> None:
    """The next look begins where the last one ended."""
    names = [f"key{index}:1" for index in range(10)]
    send(engine, *names)
    seen: set[str] = set()
    for turn in range(40):
        batch = publish(reader.take(1))
        seen.update(batch)
        send(engine, *[f"{name.partition(':')[0]}:more{turn}" for name in batch])
    assert set(names) <= seen


@pytest.mark.slow
def test_a_look_reads_one_row_of_a_key(postgresql_reader: OutboxReader, postgresql: str) -> None:
    """However many wait behind it: the plan has no scan of the whole table, and no sort of it."""
    from sqlalchemy import create_engine

    engine = create_engine(postgresql)
    send(engine, *[f"k:{index}" for index in range(4_000)], *[str(index) for index in range(20)])
    with engine.connect() as connection:
        database = opened(connection)
        plans = []
        taking = Taking(Dialect.POSTGRESQL, "", locks=True)
        script = taking.take(50, (), Turn())
        step = next(script)
        with suppress(StopIteration):
            while True:
                found = connection.execute(text("explain " + step.text), dict(step.values))  # type: ignore[union-attr]
                plans.append("\n".join(row[0] for row in found))
                step = script.send(database.do(step))
    looks = [plan for plan in plans if "walk" in plan]
    assert looks
    assert not any("Seq Scan on cloudq_outbox" in look for look in looks)
    engine.dispose()


def test_a_row_s_values_arrive(engine: Engine, reader: OutboxReader) -> None:
    """Texts and bytes as they were given; its time is the database's."""
    send(engine, "key é\N{SNOWMAN}:1", queue="q é.fifo")
    with engine.connect() as connection:
        from cloudq.outbox.schema import NOW
        from cloudq.user_database import Statement

        def now():  # type: ignore[no-untyped-def]
            answer = yield Statement(f"select {NOW[opened(connection).dialect]}")
            return int(answer.rows[0][0])

        micros = run(opened(connection), now())
    batch = reader.take(10)
    assert batch is not None
    row = batch.rows[0]
    assert (row.queue, row.task, row.ordering_key, row.attempts) == ("q é.fifo", "send", "key é\N{SNOWMAN}", 0)
    assert row.body.decode() == "key é\N{SNOWMAN}:1"
    assert abs(row.created_at.timestamp() - micros / 1_000_000) < 30
    assert bodies(batch) == ["key é\N{SNOWMAN}:1"]
