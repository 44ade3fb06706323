"""Making the inbox, sweeping it, forgetting a key."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from cloudq import create_inbox, sweep_inbox
from cloudq.errors import OptionError, TransactionRefused
from cloudq.testing import FakeClock
from cloudq.user_database.inbox import Completion
from cloudq.user_database.transaction import AlreadyDone, Transactions
from cloudq.user_database.upkeep import forget, sweep_at
from tests.unit.user_database.interruptions import Interrupted, Interruption
from tests.unit.user_database.test_by_url import plain


@pytest.fixture
def bare(engine: Engine) -> Engine:
    """A database without the table."""
    with engine.begin() as connection:
        connection.execute(text("drop table if exists cloudq_inbox"))
    return engine


def complete(connection: Any, key: str, keep: timedelta = timedelta(days=1)) -> None:
    completion = Completion(namespace="app", tasks=("pay",), key=key, source="web", message="m", keep=keep)
    with Transactions(completion, FakeClock()).open(connection):
        pass


class TestUpkeep:
    def test_create_makes_what_is_missing(self, bare: Engine) -> None:
        """Committed, by a connection or a session; a second time nothing is changed."""
        with Session(bare) as session:
            create_inbox(session)
        with bare.connect() as connection:
            create_inbox(connection)
            complete(connection, "k")
            create_inbox(connection)
            with pytest.raises(AlreadyDone):
                complete(connection, "k")

    def test_sweep_commits_its_batch(self, bare: Engine) -> None:
        """And says how many they were."""
        with bare.connect() as connection:
            create_inbox(connection)
            for number in range(3):
                complete(connection, f"{number}", keep=timedelta(0))
            assert sweep_inbox(connection, limit=2) == 2
            connection.rollback()
            assert sweep_inbox(connection, limit=2) == 1
            assert sweep_inbox(connection) == 0

    @pytest.mark.parametrize("limit", [0, 10_001, True, "5"])
    def test_batches_are_bounded(self, bare: Engine, limit: Any) -> None:
        """A sweep holds up no transaction of the user's for long."""
        with bare.connect() as connection, pytest.raises(OptionError, match="from 1 to 10,000"):
            sweep_inbox(connection, limit=limit)

    def test_without_the_table(self, bare: Engine) -> None:
        """The hint says how to make it, and the connection can be used afterwards."""
        with bare.connect() as connection:
            with pytest.raises(TransactionRefused, match="create_inbox"):
                sweep_inbox(connection)
            assert not connection.in_transaction()

    def test_a_worker_sweeps_by_url(self, bare: Engine) -> None:
        """What is beside the outbox that it relays; a database without an inbox is left alone."""
        url = plain(bare)
        assert sweep_at(url, 10) == 0
        with bare.connect() as connection:
            create_inbox(connection)
            complete(connection, "old", keep=timedelta(0))
            complete(connection, "kept")
        assert sweep_at(url, 10) == 1
        assert sweep_at(url, 10) == 0

    def test_wherever_it_is_interrupted_it_is_undone(self) -> None:
        """A time limit is raised between any two instructions; at one or two of them Python itself catches nothing."""
        begun = 0
        for line in range(1, 200):
            with closing(sqlite3.connect(":memory:")) as connection:
                with Interruption(line, "statements", "upkeep") as interruption, suppress(Interrupted):
                    create_inbox(connection)
                interruption.stop()
                begun += connection.in_transaction
            if not interruption.hit:
                break
        assert not interruption.hit
        assert line > 20
        assert begun <= 3

    def test_a_forgotten_key_is_done_again(self, bare: Engine) -> None:
        """Its own rows go, by task and key."""
        with bare.connect() as connection:
            create_inbox(connection)
            for key in ("a", "A", "b"):
                complete(connection, key)
            assert forget(connection, "pay", "a", namespace="other") == 0
            assert forget(connection, "refund", "a") == 0
            assert forget(connection, "pay", "a") == 1
            complete(connection, "a")
            for key in ("A", "b"):
                with pytest.raises(AlreadyDone):
                    complete(connection, key)
