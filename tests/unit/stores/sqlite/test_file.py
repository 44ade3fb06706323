"""What errors of the file become for a store."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.errors import BackendError, BackendUnavailable, StorageFull, StoreRefused, StoreUnavailable
from cloudq.sqlite_file.connection import Database
from cloudq.stores.sqlite.file import StoreFile


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BackendUnavailable("busy", hint="wait"), StoreUnavailable),
        (StorageFull("full", hint="free some space"), StoreRefused),
        (BackendError("gone"), StoreRefused),
    ],
)
@pytest.mark.parametrize("method", ["read", "write"])
def test_an_error_of_the_file_is_the_stores(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: BackendError, kind: type[BackendError], method: str
) -> None:
    """With its text and its hint: to be tried again, or refused until somebody changes something."""
    file = StoreFile(path, clock=SYSTEM_CLOCK, timeout=timedelta(seconds=5), full=True, mode=0o600)

    def fails(self: Database, *arguments: object, **named: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Database, method, fails)
        call = file.look if method == "read" else partial(file.write, durable=True)
        with pytest.raises(kind) as raised:
            call(lambda cursor, now: None)
    assert (raised.value.message, raised.value.hint) == (error.message, error.hint)  # type: ignore[attr-defined]
    file.close()


def test_the_moment_is_that_of_the_transaction(path: Path) -> None:
    """Asked for inside it: waiting for the lock takes none of a lease."""
    file = StoreFile(path, clock=SYSTEM_CLOCK, timeout=timedelta(seconds=5), full=True, mode=0o600)
    first = file.look(lambda cursor, now: now)
    second = file.write(lambda cursor, now: now, durable=False)
    assert second.mark >= first.mark
    assert second.boot == first.boot
    file.close()
