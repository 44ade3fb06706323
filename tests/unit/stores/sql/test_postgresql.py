"""PostgreSQL's words, as far as they show without one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy.exc import DBAPIError

from cloudq.stores.sql.dialect import Fault
from cloudq.stores.sql.postgresql import PostgreSQL


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        ("40001", Fault.AGAIN),
        ("40P01", Fault.AGAIN),
        ("55P03", Fault.LOCKED),
        ("25006", Fault.REFUSED),
        ("28P01", Fault.REFUSED),
        ("42501", Fault.REFUSED),
        ("42P01", Fault.REFUSED),
        ("53100", Fault.REFUSED),
        ("53300", Fault.FAILED),
        ("57P01", Fault.FAILED),
        ("23505", Fault.FAILED),
        (None, Fault.FAILED),
    ],
)
@pytest.mark.parametrize("name", ["sqlstate", "pgcode"])
def test_what_an_error_means(name: str, state: str | None, fault: Fault) -> None:
    """By its SQLSTATE, whichever of the drivers says it."""
    error = DBAPIError("insert", {}, SimpleNamespace(**{name: state}))  # type: ignore[arg-type]
    assert PostgreSQL().fault(error) is fault


def test_nothing_is_said_to_a_session() -> None:
    """The next statement may be another one's, behind a pooler."""
    assert PostgreSQL().at_connect == ()
    assert "set_config('lock_timeout'" in PostgreSQL().waits
