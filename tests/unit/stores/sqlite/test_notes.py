"""Notes in an SQLite file, beyond what the store conformance kit holds them to."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.notes import Note, NoteWrite, Written
from cloudq.errors import StoreRefused
from cloudq.sqlite_file.opening import FULL
from cloudq.stores.sqlite import SqliteStore
from cloudq.testing.clock import FakeClock

DAY = timedelta(days=1)


def test_a_clock_that_is_set_forgets_no_note(store: SqliteStore, clock: FakeClock) -> None:
    """It is as old as time has passed, and kept for as long."""
    assert isinstance(store.notes.write("run", b"x", after=0, keep=DAY), Written)
    clock.step(400 * DAY)
    clock.advance(timedelta(hours=1))
    note = store.notes.read("run")
    assert isinstance(note, Note)
    assert (note.age, note.left) == (timedelta(hours=1), timedelta(hours=23))
    assert store.sweep(10) == 0
    clock.step(-800 * DAY)
    clock.advance(timedelta(hours=23))
    assert store.notes.read("run") is None


def test_a_name_that_is_not_unicode_is_one_of_its_own(store: SqliteStore) -> None:
    """As every other."""
    for name in ("\ud800", "\ud801", "\\ud800"):
        assert isinstance(store.notes.write(name, name.encode("utf-8", "backslashreplace"), after=0, keep=DAY), Written)
    note = store.notes.read("\ud801")
    assert note is not None
    assert note.text == b"\\ud801"


@pytest.mark.parametrize("durable", [True, False])
def test_only_what_must_survive_a_loss_of_power_is_flushed(store: SqliteStore, *, durable: bool) -> None:
    """SQLite flushes its log at a commit with `synchronous=FULL` (2), and at none with NORMAL (1)."""
    assert isinstance(store.notes.write("run", b"x", after=0, keep=DAY, durable=durable), Written)
    [(level,)] = store._file._handle.database()._writer.execute("PRAGMA synchronous")
    assert durable is (level == FULL)


@pytest.mark.parametrize("durable", [True, False])
def test_several_are_one_transaction_flushed_if_one_has_to_be(store: SqliteStore, *, durable: bool) -> None:
    """Ten notes cost one flush."""
    before = store._file._handle.database().data_version()
    writes = [NoteWrite(name=str(number), text=b"x", after=0, keep=DAY, durable=False) for number in range(9)]
    assert all(
        isinstance(said, Written)
        for said in store.notes.write_together(
            [*writes, NoteWrite(name="last", text=b"x", after=0, keep=DAY, durable=durable)]
        )
    )
    database = store._file._handle.database()
    assert 1 == database.data_version() - before
    [(level,)] = database._writer.execute("PRAGMA synchronous")
    assert durable is (level == FULL)


def test_what_fails_writes_none_of_several(store: SqliteStore) -> None:
    """So that it may be tried again as it is."""
    writes = [NoteWrite(name="a", text=b"x", after=0, keep=DAY), NoteWrite(name="b", text=None, after=0, keep=DAY)]  # type: ignore[arg-type]  # which no column takes
    with pytest.raises(StoreRefused):
        store.notes.write_together(writes)
    assert store.notes.read("a") is None
