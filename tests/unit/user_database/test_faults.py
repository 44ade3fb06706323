"""What errors of databases mean, as their drivers and the libraries around them raise them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from cloudq.user_database.faults import is_conflict, is_missing_table, is_of_others


def failure(engine: Engine, *statements: str) -> DBAPIError:
    """What the last of the statements fails with."""
    with engine.connect() as connection:
        for statement in statements[:-1]:
            connection.execute(text(statement))
        with pytest.raises(DBAPIError) as failed:
            connection.execute(text(statements[-1]))
        return failed.value


class TestReal:
    def test_a_unique_value_twice(self, engine: Engine) -> None:
        """Is a conflict, wrapped or not, and nothing else."""
        insert = "insert into effect (name) values ('a')"
        error = failure(engine, insert, insert)
        assert error.orig is not None
        for seen in (error, error.orig, _wrapped(error)):
            assert (is_conflict(seen), is_of_others(seen), is_missing_table(seen)) == (True, False, False)

    def test_a_table_that_is_not_there(self, engine: Engine) -> None:
        """Is a missing table, and nothing else."""
        error = failure(engine, "select 1 from nowhere")
        assert (is_conflict(error), is_of_others(error), is_missing_table(error)) == (False, False, True)

    def test_what_is_wrong_by_itself(self, engine: Engine) -> None:
        """Means nothing here: no null there, bad SQL."""
        for statement in ("insert into effect (name) values (null)", "selec"):
            error = failure(engine, statement)
            assert (is_conflict(error), is_of_others(error), is_missing_table(error)) == (False, False, False)

    def test_a_lock_of_somebody_else(self, engine: Engine) -> None:
        """The row, or the file, is free again sooner or later."""
        insert = text("insert into effect (name) values ('a')")
        patience = {
            "postgresql": "set lock_timeout = 50",
            "mysql": "set innodb_lock_wait_timeout = 1",
            "sqlite": "pragma busy_timeout = 50",
        }[engine.dialect.name]
        with engine.connect() as first, engine.connect() as second:
            second.execute(text(patience))
            second.commit()
            first.execute(insert)
            with pytest.raises(DBAPIError) as failed:
                second.execute(insert)
            assert is_of_others(failed.value)
            assert not is_conflict(failed.value)


class TestMade:
    @pytest.mark.parametrize("state", ["40001", "40P01", "55P03"])
    def test_states_of_postgresql(self, state: str) -> None:
        """As psycopg and asyncpg, and as psycopg2, name them."""
        for attribute in ("sqlstate", "pgcode"):
            error = RuntimeError("aborted")
            setattr(error, attribute, state)
            assert is_of_others(error)

    def test_a_number_of_another_program_means_nothing(self) -> None:
        """Only a driver's codes do."""
        for code in (1213, 1020, 1205, 1062, 1146):
            error = OSError(code, "of the system")
            assert (is_conflict(error), is_of_others(error), is_missing_table(error)) == (False, False, False)
        own = type("DriverError", (Exception,), {"__module__": "MySQLdb"})
        assert is_of_others(own(1213, "Deadlock found"))
        assert is_conflict(own(1062, "Duplicate entry"))

    def test_what_came_before_means_nothing(self) -> None:
        """An error that was raised while another one was handled isn't caused by it."""
        with pytest.raises(ValueError) as failed:  # noqa: PT011 - its text is its own
            _raise_while_handling()
        assert not is_of_others(failed.value)

    def test_errors_that_cause_one_another(self) -> None:
        """End."""
        one, other = ValueError(), ValueError()
        one.__cause__, other.__cause__ = other, one
        assert not is_conflict(one)

    def test_sqlites_file_is_busy(self, tmp_path: Path) -> None:
        """Of sqlite3 itself."""
        with (
            closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as first,
            closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None, timeout=0)) as second,
        ):
            first.execute("begin immediate")
            with pytest.raises(sqlite3.OperationalError) as failed:
                second.execute("begin immediate")
            assert is_of_others(failed.value)


def _wrapped(error: Exception) -> Exception:
    """As a user's own code raises it."""
    try:
        raise LookupError("of the user's") from error
    except LookupError as wrapped:
        return wrapped


def _raise_while_handling() -> Any:
    error = RuntimeError()
    error.sqlstate = "40001"  # type: ignore[attr-defined]
    try:
        raise error
    except RuntimeError:
        raise ValueError("something else")  # noqa: B904 - that is the point
