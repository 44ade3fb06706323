"""Flags: set by one process, seen by all, cleared by any."""

from __future__ import annotations

from datetime import timedelta

from cloudq.flow.flags import LONGEST_TEXT, Flag, Flags
from cloudq.stores.memory.notes import MemoryNotes
from cloudq.testing.clock import FakeClock

MINUTE = timedelta(minutes=1)


def test_a_flag_is_set_until_it_is_cleared() -> None:
    """Everybody sees it, with what was said and since when; who sets or clears it learns whether that is news."""
    clock = FakeClock()
    notes = MemoryNotes(clock)
    flags, theirs = Flags(notes), Flags(notes)
    assert theirs.look("pause/mail") is None
    set_at = clock.now()
    assert flags.set("pause/mail", "by ana")
    clock.advance(timedelta(days=1_000))
    assert theirs.look("pause/mail") == Flag("by ana", set_at, timedelta(days=1_000))
    assert not theirs.set("pause/mail", "by ben")
    assert flags.look("pause/mail") == Flag("by ana", set_at, timedelta(days=1_000))
    assert theirs.clear("pause/mail")
    assert flags.look("pause/mail") is None
    assert not flags.clear("pause/mail")
    assert flags.set("pause/mail")


def test_flags_are_apart() -> None:
    """By their whole names."""
    flags = Flags(MemoryNotes(FakeClock()))
    flags.set("pause/a")
    assert flags.look("pause/b") is None


def test_a_text_is_bounded_and_any() -> None:
    """A longer one is cut; what isn't UTF-8 doesn't get in the way."""
    flags = Flags(MemoryNotes(FakeClock()))
    flags.set("x", "\ud800" + "é" * 5_000)
    flag = flags.look("x")
    assert flag is not None
    assert flag.text == "\\ud800" + "é" * (LONGEST_TEXT - 1)
