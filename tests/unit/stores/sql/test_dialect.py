"""What each database says in its own words, as far as it shows without one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy.exc import DBAPIError

from cloudq.stores.sql.dialect import MySQL, PostgreSQL, found


def error(**of_driver: object) -> DBAPIError:
    return DBAPIError("insert", {}, SimpleNamespace(**of_driver))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "busy"), [("40001", True), ("40P01", True), ("55P03", True), ("23505", False), (None, False)]
)
def test_what_postgresql_means_by_busy(state: str | None, busy: bool) -> None:
    """Whichever of its drivers says it."""
    assert PostgreSQL().is_busy(error(sqlstate=state)) is busy
    assert PostgreSQL().is_busy(error(pgcode=state)) is busy


@pytest.mark.parametrize(("code", "busy"), [(1205, True), (1213, True), (1020, True), (1062, False)])
def test_what_mysql_means_by_busy(code: int, busy: bool) -> None:
    """Its code is the first argument."""
    assert MySQL().is_busy(error(args=(code, "text"))) is busy


def test_a_mysql_error_without_a_code_isn_t_busy() -> None:
    """A connection that was cut, say."""
    assert not MySQL().is_busy(error(args=()))


def test_a_row_is_the_same_whatever_the_driver_makes_of_it() -> None:
    """Decimals, memory views, bytearrays."""
    from decimal import Decimal

    row = (Decimal(5), 7, "w", None, 3, Decimal(9), memoryview(b"f"), bytearray(b"r"))
    assert found(row) == (5, 7, "w", None, 3, 9, b"f", b"r")  # type: ignore[arg-type]
