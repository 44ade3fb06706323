"""What a database's errors become."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from cloudq.errors import StoreRefused, StoreUnavailable
from cloudq.stores.sql.faults import RowLocked, translated, unconnected
from cloudq.stores.sql.mysql import MySQL
from cloudq.stores.sql.postgresql import PostgreSQL

HIDDEN = "order-of-somebody"


@pytest.mark.parametrize(
    ("state", "kind"),
    [("55P03", RowLocked), ("40001", RowLocked), ("42P01", StoreRefused), ("57P01", StoreUnavailable)],
)
def test_each_has_its_kind_and_its_code(state: str, kind: type[Exception]) -> None:
    """And nothing of the statement, its values or the driver's own text."""
    error = DBAPIError(f"insert {HIDDEN}", {"key": HIDDEN}, SimpleNamespace(sqlstate=state, args=(HIDDEN,)))  # type: ignore[arg-type]
    meant = translated(error, PostgreSQL())
    assert type(meant) is kind
    assert f"({state})" in str(meant)
    assert HIDDEN not in f"{meant} {meant.hint}"


def test_a_number_is_a_code_too() -> None:
    """MariaDB's and MySQL's."""
    error = DBAPIError("insert", {}, SimpleNamespace(args=(1146, HIDDEN)))  # type: ignore[arg-type]
    assert "(1146)" in str(translated(error, MySQL()))


def test_too_many_at_once_is_unavailable() -> None:
    """The pool's own time-out."""
    assert isinstance(translated(PoolTimeout(), MySQL()), StoreUnavailable)


@pytest.mark.parametrize(("said", "shown"), [("refused\nHINT: x", True), ("hunter2 is wrong", False), ("", False)])
def test_why_there_is_no_connection_is_said(said: str, shown: bool) -> None:
    """In the server's words, the first line of them; not where the password is among them."""
    error = DBAPIError("connect", {}, Exception(said))
    meant = unconnected(error, PostgreSQL(), "hunter2")
    assert isinstance(meant, StoreUnavailable)
    assert str(meant).endswith(": refused") is shown
    assert "hunter2" not in str(meant)
    assert isinstance(unconnected(PoolTimeout(), PostgreSQL(), None), StoreUnavailable)


def test_a_hint_is_said_once() -> None:
    """Behind the server's words, not among them."""
    error = DBAPIError("connect", {}, SimpleNamespace(sqlstate="28P01", args=("no",)))  # type: ignore[arg-type]
    error.orig = Exception("password authentication failed")
    error.orig.sqlstate = "28P01"  # type: ignore[attr-defined]
    meant = unconnected(error, PostgreSQL(), None)
    assert isinstance(meant, StoreRefused)
    assert meant.message.endswith("(28P01): password authentication failed")
    assert str(meant).count("hint:") == 1
