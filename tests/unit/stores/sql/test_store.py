"""The store on a database server, without one: what is tried again, and what errors become."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from cloudq.core.store import Claimed, ClaimKey, Completed, InProgress
from cloudq.errors import StoreRefused, StoreUnavailable
from cloudq.stores.sql.dialect import Fault, Found
from cloudq.stores.sql.store import SqlStore

KEY = ClaimKey("billing.charge", "order-1")
MINUTE = timedelta(minutes=1)
HIDDEN = "hunter2"
CUT = None
"""In place of a fault: there was no answer, and there is no connection any more."""


class Says:
    """A dialect whose claims find what the test puts there, or fail as often as it says."""

    now = "5"
    waits = "1 = 1"
    at_connect = ()

    def __init__(self, found: Found | None, *failures: Fault | None) -> None:
        self.found = found
        self.failures = list(failures)
        self.calls = 0

    def create(self) -> str:
        return "select 1"

    def claim(self, connection: Connection, values: Mapping[str, Any]) -> Found | None:
        self.calls += 1
        if self.failures:
            self.latest = self.failures.pop(0)
            raise OperationalError(
                "insert", {}, Exception(f"{HIDDEN} is locked"), connection_invalidated=self.latest is CUT
            )
        return self.found

    def refusal(self, connection: Connection) -> str | None:
        return "is a standby"

    def fault(self, error: Exception) -> Fault:
        return self.latest or Fault.FAILED


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    yield engine
    engine.dispose()


def claim(engine: Engine, dialect: Says) -> object:
    store = SqlStore(engine, "app", dialect)  # type: ignore[arg-type]
    return store.claim(KEY, owner="me", lease=MINUTE, fingerprint=None, keep=MINUTE)


@pytest.mark.parametrize(
    ("found", "meant"),
    [
        (Found(5, 7, "me", 9, None, 99, None, None), Claimed(7)),
        (Found(5, 7, "other", 9, None, 99, b"f", None), InProgress(timedelta(microseconds=4), b"f")),
        (Found(5, 7, "other", 3, None, 99, b"f", None), InProgress(timedelta(0), b"f")),
        (None, InProgress(timedelta(seconds=1), None)),
    ],
)
def test_what_a_claim_found(engine: Engine, found: Found | None, meant: object) -> None:
    """By its owner, or that somebody is at it."""
    assert claim(engine, Says(found)) == meant


def test_what_is_done_is_completed_for_its_owner_too(engine: Engine) -> None:
    """Before all else."""
    said = claim(engine, Says(Found(5, 7, "me", None, 4, 99, b"f", b"r")))
    assert isinstance(said, Completed)
    assert (said.result, said.fingerprint) == (b"r", b"f")


def test_what_got_in_the_way_is_tried_again(engine: Engine) -> None:
    """A deadlock, or another transaction's change."""
    dialect = Says(Found(5, 7, "me", 9, None, 99, None, None), Fault.AGAIN, Fault.AGAIN)
    assert claim(engine, dialect) == Claimed(7)
    assert dialect.calls == 3


@pytest.mark.parametrize(("fault", "calls"), [(Fault.LOCKED, 1), (Fault.AGAIN, 8)])
def test_what_stays_locked_is_in_progress(engine: Engine, fault: Fault, calls: int) -> None:
    """Somebody is at it. A lock was waited for already; what comes between again and again is tried a few times."""
    dialect = Says(None, *[fault] * 9)
    assert claim(engine, dialect) == InProgress(timedelta(seconds=1), None)
    assert dialect.calls == calls


@pytest.mark.parametrize(("fault", "kind"), [(Fault.FAILED, StoreUnavailable), (Fault.REFUSED, StoreRefused)])
def test_what_failed_is_not_tried_again(engine: Engine, fault: Fault, kind: type[Exception]) -> None:
    """The text is ours: a driver's own may show what was bound."""
    dialect = Says(None, fault)
    with pytest.raises(kind) as raised:
        claim(engine, dialect)
    assert dialect.calls == 1
    assert HIDDEN not in str(raised.value)


@pytest.mark.parametrize(("cuts", "calls"), [(1, 2), (2, 2)])
def test_a_connection_that_was_cut_is_tried_again_once(engine: Engine, cuts: int, calls: int) -> None:
    """It may have lain idle since. Of a server that stays silent each try would take its time."""
    dialect = Says(Found(5, 7, "me", 9, None, 99, None, None), *[CUT] * cuts)
    if cuts == 1:
        assert claim(engine, dialect) == Claimed(7)
    else:
        with pytest.raises(StoreUnavailable):
            claim(engine, dialect)
    assert dialect.calls == calls


def test_a_server_that_can_not_be_written_to_is_refused(engine: Engine) -> None:
    """At the start, with the reason."""
    store = SqlStore(engine, "app", Says(None))  # type: ignore[arg-type]
    with pytest.raises(StoreRefused, match="is a standby") as raised:
        store.check()
    assert "primary" in (raised.value.hint or "")
