"""Notes in memory, beyond what the store conformance kit holds them to."""

from __future__ import annotations

from datetime import timedelta

from cloudq.core.notes import Note, Written
from cloudq.stores.memory.notes import MemoryNotes
from cloudq.testing import FakeClock

DAY = timedelta(days=1)


def test_a_clock_that_is_set_forgets_no_note() -> None:
    """It is as old as time has passed, and kept for as long."""
    clock = FakeClock()
    notes = MemoryNotes(clock)
    assert isinstance(notes.write("run", b"x", after=0, keep=DAY), Written)
    clock.step(400 * DAY)
    clock.advance(timedelta(hours=1))
    note = notes.read("run")
    assert isinstance(note, Note)
    assert (note.age, note.left) == (timedelta(hours=1), timedelta(hours=23))
    clock.step(-800 * DAY)
    clock.advance(timedelta(hours=23))
    assert notes.read("run") is None
    assert notes.sweep(10) == 1
