"""What is written down: published rows are gone, failed and parked ones say why; and what an operator does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, create_engine, text

from cloudq.outbox.opening import create_tables, open_outbox
from cloudq.outbox.reading import Failed, OutboxReader, OutboxStatus, Parked
from cloudq.outbox.settling import MOST_OF_AN_ERROR, Settling
from cloudq.user_database import Dialect, Statement
from tests.unit.outbox.conftest import bodies, count, ids, publish_all, send


def park(reader: OutboxReader, *names: str, why: str = "no such queue") -> list[int]:
    """Parks those, and gives the rest back."""
    batch = reader.take(1_000)
    assert batch is not None
    found = ids(batch, *names)
    batch.settle(parked=[Parked(id_, why) for id_ in found])
    return found


def test_what_isn_t_named_is_free_again(engine: Engine, reader: OutboxReader) -> None:
    """And what is published is deleted."""
    send(engine, "a", "b", "k:1", "k:2")
    batch = reader.take(10)
    assert batch is not None
    batch.settle(published=ids(batch, "a", "k:1"))
    assert count(engine) == 2
    assert publish_all(reader) == ["b", "k:2"]


def test_a_batch_that_is_given_back_is_as_it_was(engine: Engine, reader: OutboxReader) -> None:
    """Nothing is counted."""
    send(engine, "a", "k:1")
    batch = reader.take(10)
    assert batch is not None
    batch.give_back()
    again = reader.take(10)
    assert again is not None
    assert bodies(again) == ["a", "k:1"]
    assert [row.attempts for row in again.rows] == [0, 0]


def test_thousands_at_once(engine: Engine, reader: OutboxReader) -> None:
    """In more statements than one, in one transaction."""
    send(engine, *[str(index) for index in range(1_700)])
    batch = reader.take(5_000)
    assert batch is not None
    batch.settle(published=[row.id for row in batch.rows])
    assert count(engine) == 0


def test_why_is_kept_for_people(engine: Engine, reader: OutboxReader) -> None:
    """Its beginning, and nothing that a database refuses."""
    send(engine, "a", "k:1", "k:2", "k:3")
    (id_,) = park(reader, "k:1", why="bad\0 \ud800 é" + "x" * 5_000)
    (row,) = reader.parked(10)
    assert (row.id, row.queue, row.task, row.ordering_key, row.attempts, row.behind) == (
        *(id_, "mail.fifo", "send", "k", 1, 2),
    )
    assert row.why.startswith("bad\N{REPLACEMENT CHARACTER} ? éx")
    assert len(row.why) == MOST_OF_AN_ERROR
    assert row.parked_at >= row.created_at


def test_parked_rows_are_listed_page_by_page(engine: Engine, reader: OutboxReader) -> None:
    """In the order of their ids."""
    send(engine, *[str(index) for index in range(5)])
    found = park(reader, *[str(index) for index in range(5)])
    first = reader.parked(2)
    assert [row.id for row in first] == found[:2]
    assert [row.id for row in reader.parked(10**20, first[-1].id)] == found[2:]


def test_retry_makes_them_due(engine: Engine, reader: OutboxReader) -> None:
    """Those that were named, or all; their key goes on from them."""
    send(engine, "k:1", "k:2", "a", "b")
    by_name = dict(zip(("a", "b", "k:1"), park(reader, "a", "b", "k:1"), strict=True))
    assert reader.take(10) is None
    assert reader.retry([by_name["k:1"], by_name["k:1"] + 1_000, 10**20, -1]) == 1
    assert publish_all(reader) == ["k:1", "k:2"]
    assert reader.retry() == 2
    assert publish_all(reader) == ["a", "b"]
    assert reader.retry() == 0


def test_skip_deletes_parked_rows_alone(engine: Engine, reader: OutboxReader) -> None:
    """What waits behind them goes on, and one that isn't parked stays."""
    send(engine, "k:1", "k:2", "a")
    park(reader, "k:1")
    batch = reader.take(10)
    assert batch is not None
    waiting = batch.rows[0].id
    batch.give_back()
    (row,) = reader.parked(10)
    assert reader.skip([10**20]) == 0
    assert reader.skip([row.id, waiting]) == 1
    assert publish_all(reader) == ["a", "k:2"]


def test_an_operator_s_words_are_about_their_own_namespace(engine: Engine, url: str, reader: OutboxReader) -> None:
    """Parked rows of another one are neither retried nor skipped."""
    send(engine, "a")
    (id_,) = park(reader, "a")
    other = open_outbox(url, "other")
    assert (other.parked(10), other.retry(), other.retry([id_]), other.skip([id_])) == ([], 0, 0, 0)
    assert reader.retry() == 1
    other.close()


@pytest.mark.slow
def test_a_status_looks_at_each_row_once(mariadb: str) -> None:
    """However many wait: no query is carried out for each of them."""
    pytest.importorskip("pymysql")
    create_tables(mariadb)
    engine = create_engine(mariadb)
    with engine.connect() as connection:
        step = next(Settling(Dialect.MYSQL, "").status())
        assert isinstance(step, Statement)
        plan = connection.execute(text("explain " + step.text), dict(step.values)).all()
    assert plan
    assert not [row for row in plan if "DEPENDENT" in row[1]]
    engine.dispose()


def test_status_counts_what_waits(engine: Engine, reader: OutboxReader) -> None:
    """Of each namespace; its lag is the age of what could be published, not of what is parked."""
    assert reader.status() == [OutboxStatus(namespace="")]
    send(engine, "k:1", "k:2", "k:3", "a", "b", "c")
    send(engine, "x", namespace="other")
    park(reader, "k:1", "a")
    batch = reader.take(10)
    assert batch is not None
    batch.settle(failed=[Failed(ids(batch, "b")[0], "no", timedelta(hours=1))])
    with engine.begin() as connection:
        connection.execute(text("update cloudq_outbox set created_at = created_at - 3600000000 where parked_at > 0"))
    own, other = reader.status()
    assert (own.waiting, own.failing, own.parked, own.held_back) == (4, 1, 2, 2)
    assert own.oldest is not None
    assert timedelta(0) <= own.oldest < timedelta(minutes=10)
    assert (other.namespace, other.waiting) == ("other", 1)
    reader.skip([row.id for row in reader.parked(10)])
    batch = reader.take(10)
    assert batch is not None
    batch.settle(published=[row.id for row in batch.rows])
