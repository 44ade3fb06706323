"""A record that many share is changed as if each were alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from cloudq.core.notes import Note, Written
from cloudq.errors import StoreUnavailable
from cloudq.flow import changing
from cloudq.flow.changing import Change, change
from cloudq.stores.memory.notes import MemoryNotes
from cloudq.testing.clock import FakeClock

MINUTE = timedelta(minutes=1)


def one_more(note: Note | None) -> Change[int]:
    number = int(note.text) + 1 if note else 1
    return Change(number, b"%d" % number)


def test_none_of_many_changes_is_lost() -> None:
    """Each of eight writers that count at once counts fully."""
    notes = MemoryNotes(FakeClock())
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: change(notes, "n", one_more, keep=MINUTE), range(80)))
    assert sorted(said) == list(range(1, 81))


def test_what_is_to_stay_is_not_written() -> None:
    """Then it costs one look, and the record keeps its age."""
    notes = MemoryNotes(clock := FakeClock())
    change(notes, "n", one_more, keep=MINUTE)
    clock.advance(MINUTE / 2)
    assert change(notes, "n", lambda note: Change(note is not None), keep=MINUTE)
    note = notes.read("n")
    assert note is not None
    assert note.age == MINUTE / 2


def test_a_step_may_say_how_long_it_is_kept() -> None:
    """In place of what is usual."""
    notes = MemoryNotes(FakeClock())
    change(notes, "n", lambda _: Change(None, b"x", keep=2 * MINUTE), keep=MINUTE)
    note = notes.read("n")
    assert note is not None
    assert note.left == 2 * MINUTE


class OnceTooLate(MemoryNotes):
    """Somebody else is faster, once."""

    late = False

    def write(
        self, name: str, text: bytes, *, after: int, keep: timedelta, durable: bool = True
    ) -> Written | Note | None:
        if not self.late:
            self.late = True
            super().write(name, b"7", after=after, keep=keep)
        return super().write(name, text, after=after, keep=keep)


def test_where_somebody_was_faster_it_decides_anew() -> None:
    """On what is there by then."""
    assert change(OnceTooLate(FakeClock()), "n", one_more, keep=MINUTE) == 8


class AlwaysTooLate(MemoryNotes):
    """Somebody else is faster, each time."""

    def write(
        self, name: str, text: bytes, *, after: int, keep: timedelta, durable: bool = True
    ) -> Written | Note | None:
        super().write(name, b"7", after=after, keep=keep)
        return self.read(name)


def test_it_gives_up_where_others_are_always_faster() -> None:
    """After as many rounds as no small record needs."""
    notes = AlwaysTooLate(FakeClock())
    with pytest.raises(StoreUnavailable, match=str(changing.ROUNDS)):
        change(notes, "n", one_more, keep=MINUTE)
