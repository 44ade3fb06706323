"""MariaDB's and MySQL's words, as far as they show without one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy.exc import DBAPIError

from cloudq.stores.sql.dialect import Fault
from cloudq.stores.sql.mysql import MySQL


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ((1213, "deadlock"), Fault.AGAIN),
        ((1020, "changed"), Fault.AGAIN),
        ((1205, "lock"), Fault.LOCKED),
        ((1290, "read only"), Fault.REFUSED),
        ((1045, "denied"), Fault.REFUSED),
        ((1142, "denied"), Fault.REFUSED),
        ((1146, "no table"), Fault.REFUSED),
        ((1114, "full"), Fault.REFUSED),
        ((1062, "duplicate"), Fault.FAILED),
        ((2006, "gone away"), Fault.FAILED),
        (("text",), Fault.FAILED),
        ((), Fault.FAILED),
    ],
)
def test_what_an_error_means(arguments: tuple[object, ...], fault: Fault) -> None:
    """By its number, which is the first of its arguments; one without, of a connection that was cut, say."""
    error = DBAPIError("insert", {}, SimpleNamespace(args=arguments))  # type: ignore[arg-type]
    assert MySQL().fault(error) is fault
