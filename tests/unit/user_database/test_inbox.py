"""The inbox's table and statements."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from cloudq.user_database import Dialect, opened, run
from cloudq.user_database.inbox import KEEP, NOW, TABLE, Completion, insertion, is_there, sweeping
from cloudq.user_database.tables import creating

KEYED = Completion(namespace="app", tasks=("b", "a"), key="k", source="web", message="m")


class TestCompletion:
    def test_one_value_a_name_always_in_one_order(self) -> None:
        """So that two that insert several wait for each other in one order."""
        digests = KEYED.digests()
        assert list(digests) == sorted(digests)
        assert sorted(digests.values()) == ["a", "b"]

    def test_parts_do_not_run_into_one_another(self) -> None:
        """What is cut elsewhere is something else."""
        one = Completion(namespace="a", tasks=("bc",), key=None, source="d", message="e")
        others = [
            Completion(namespace="ab", tasks=("c",), key=None, source="d", message="e"),
            Completion(namespace="a", tasks=("bc",), key=None, source="de", message=""),
            Completion(namespace="a", tasks=("bc",), key="de", source="", message=""),
        ]
        assert not {digest for other in others for digest in other.digests()} & set(one.digests())

    def test_it_is_known_for_longer_than_any_backend_keeps_a_message(self) -> None:
        """Cloud Tasks: 31 days, and as long for its dead letter."""
        assert timedelta(days=62) <= KEEP


class TestStatements:
    def test_a_row_says_what_it_is_of(self, engine: Engine) -> None:
        """For people, and for a sweep: it is kept from now on, by the server's clock."""
        with engine.connect() as connection:
            connection.execute(text("drop table if exists cloudq_inbox"))
            database = opened(connection)
            dialect = database.dialect
            for _ in range(2):
                run(database, creating([TABLE], dialect))
            connection.commit()
            assert not run(database, is_there(KEYED, dialect))
            assert database.do(insertion(KEYED, dialect)).changed == 2
            assert run(database, is_there(KEYED, dialect))
            key = "`key`" if dialect is Dialect.MYSQL else "key"
            times = f"kept_until - completed_at, completed_at - {NOW[dialect]}"
            found = connection.execute(text(f"select task, namespace, {key}, message, {times} from cloudq_inbox"))  # noqa: S608
            rows = sorted(tuple(row) for row in found)
            assert [row[:4] for row in rows] == [("a", "app", "k", "m"), ("b", "app", "k", "m")]
            for _, _, _, _, kept, age in rows:
                assert kept == pytest.approx(KEEP // timedelta(microseconds=1), abs=1_000_000)
                assert abs(age) < 60_000_000
            assert run(database, sweeping(10, dialect)) == 0
            connection.rollback()

    def test_the_servers_time_is_the_time(self, engine: Engine) -> None:
        """In microseconds since 1970, whatever the session's time zone."""
        zone = {"postgresql": "set time zone 'Asia/Tokyo'", "mysql": "set time_zone = '+09:00'"}
        with engine.connect() as connection:
            if (statement := zone.get(engine.dialect.name)) is not None:
                connection.execute(text(statement))
            database = opened(connection)
            [(now,)] = connection.execute(text(f"select {NOW[database.dialect]}")).all()
        import time

        assert now / 1_000_000 == pytest.approx(time.time(), abs=60)
