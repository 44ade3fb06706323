"""What all databases have in common: a row as it was read."""

from __future__ import annotations

from decimal import Decimal

from cloudq.stores.sql.dialect import found


def test_a_row_is_the_same_whatever_the_driver_makes_of_it() -> None:
    """Decimals, memory views, bytearrays."""
    row = (Decimal(5), 7, "w", None, 3, Decimal(9), memoryview(b"f"), bytearray(b"r"))
    assert found(row) == (5, 7, "w", None, 3, 9, b"f", b"r")  # type: ignore[arg-type]
