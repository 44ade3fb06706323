"""Behaviours: a note is changed only by a caller that has seen the latest one."""

from __future__ import annotations

from functools import partial

import pytest

from cloudq.core.notes import LARGEST_NOTE, Note, NoteWrite, Written, together
from cloudq.testing.stores.bench import StoreBench

NAME = "run order-42"
ODD_NAMES = {
    "long": "n" * 600,
    "long, four bytes each": "\U0001f9fe" * 512,
    "marks": "a/b:c|d%e'f\"g\\h",
    "lines": "line one\nline two\ttab",
    "spaces": " leading and trailing ",
    "no text": "nul \0 and \ud800",
    "endless": "e" * 100_000,
}


class Noting:
    """Reading and writing notes."""

    def test_nothing_is_noted_at_first(self, bench: StoreBench) -> None:
        """Under no name."""
        assert bench.store.notes.read(NAME) is None

    def test_a_note_is_read_as_it_was_written(self, bench: StoreBench) -> None:
        """Whatever bytes it has, with its version, its age, and for how long it is still kept."""
        for number, text in enumerate((b"", b"\x00\xff'\"\n", bytes(range(256)) * 16)):
            version = bench.noted(f"{NAME} {number}", text)
            bench.advance(bench.unit)
            note = bench.store.notes.read(f"{NAME} {number}")
            assert note is not None
            assert (note.text, note.version) == (text, version)
            assert bench.unit <= note.age < 2 * bench.unit
            assert bench.keep - 2 * bench.unit < note.left <= bench.keep - bench.unit + bench.harness.margin

    def test_the_largest_note_is_kept(self, bench: StoreBench) -> None:
        """Beside the longest name."""
        text = b"\xe2\x82\xac" * (LARGEST_NOTE // 3)
        bench.noted("n" * 600, text)
        note = bench.open().notes.read("n" * 600)
        assert note is not None
        assert note.text == text

    def test_a_note_that_a_loss_of_power_may_take_is_there_for_all(self, bench: StoreBench) -> None:
        """At once, as others are, and is followed as they are: what isn't flushed is written all the same."""
        first = bench.write(NAME, b"begun", after=0, durable=False)
        assert isinstance(first, Written)
        assert bench.text(NAME) == b"begun"
        assert isinstance(bench.write(NAME, b"of another", after=0, durable=False), Note)
        bench.noted(NAME, b"done", after=first.version)
        assert bench.text(NAME) == b"done"

    def test_the_first_one_wins(self, bench: StoreBench) -> None:
        """A writer that has seen nothing changes nothing where something is, and learns what that is."""
        version = bench.noted(NAME, b"first")
        found = bench.write(NAME, b"second", after=0)
        assert isinstance(found, Note)
        assert (found.text, found.version) == (b"first", version)
        assert bench.text(NAME) == b"first"

    def test_a_note_that_was_seen_is_changed(self, bench: StoreBench) -> None:
        """By its version, which then is another."""
        first = bench.noted(NAME, b"first")
        second = bench.noted(NAME, b"second", after=first)
        assert second != first
        assert bench.text(NAME) == b"second"

    def test_a_note_that_has_changed_since_is_not(self, bench: StoreBench) -> None:
        """A late writer learns what is there, and can look again."""
        first = bench.noted(NAME, b"first")
        second = bench.noted(NAME, b"second", after=first)
        found = bench.write(NAME, b"late", after=first)
        assert isinstance(found, Note)
        assert (found.text, found.version) == (b"second", second)
        assert bench.text(NAME) == b"second"

    def test_what_is_gone_is_not_changed(self, bench: StoreBench) -> None:
        """A writer that has seen what is gone makes no new one of it."""
        version = bench.noted(NAME, b"first", keep=bench.unit)
        bench.advance(2 * bench.unit)
        assert bench.write(NAME, b"late", after=version) is None
        assert bench.store.notes.read(NAME) is None

    def test_several_are_written_as_each_would_be_alone(self, bench: StoreBench) -> None:
        """Where a store has a call for that: one that is refused keeps none beside it from being written."""
        notes = together(bench.store.notes)
        if notes is None:
            return
        assert list(notes.write_together([])) == []
        first = bench.noted("a", b"first")
        said = notes.write_together(
            [
                NoteWrite(name="a", text=b"second", after=first, keep=bench.keep),
                NoteWrite(name="b", text=b"new", after=0, keep=bench.unit, durable=False),
                NoteWrite(name="c", text=b"of what is gone", after=first, keep=bench.keep),
                NoteWrite(name="d", text=b"", after=0, keep=bench.keep),
            ]
        )
        assert [type(one) for one in said] == [Written, Written, type(None), Written]
        assert len({one.version for one in said if isinstance(one, Written)} | {first}) == 4
        assert [bench.text(name) for name in "abd"] == [b"second", b"new", b""]
        assert bench.store.notes.read("c") is None
        [late] = notes.write_together([NoteWrite(name="a", text=b"late", after=first, keep=bench.keep)])
        assert isinstance(late, Note)
        assert late.text == b"second"
        bench.advance(2 * bench.unit)
        assert bench.store.notes.read("b") is None
        assert bench.text("a") == b"second"

    def test_a_note_is_kept_for_as_long_as_was_said(self, bench: StoreBench) -> None:
        """From each write on; then a new one can be written, under another version."""
        first = bench.noted(NAME, b"first", keep=3 * bench.unit)
        bench.advance(2 * bench.unit)
        second = bench.noted(NAME, b"second", after=first, keep=3 * bench.unit)
        bench.advance(2 * bench.unit)
        assert bench.text(NAME) == b"second"
        bench.advance(2 * bench.unit)
        assert bench.store.notes.read(NAME) is None
        assert bench.noted(NAME, b"third") not in {first, second}
        assert bench.text(NAME) == b"third"

    @pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES.keys())
    def test_every_name_works(self, bench: StoreBench, name: str) -> None:
        """And is apart from the ones beside it."""
        bench.noted(name, b"mine")
        assert bench.text(name) == b"mine"
        assert bench.store.notes.read(name + "x") is None
        assert bench.store.notes.read(name.swapcase() if name.swapcase() != name else name + " ") is None

    def test_notes_of_namespaces_are_apart(self, bench: StoreBench) -> None:
        """Production's runs aren't staging's."""
        version = bench.noted(NAME, b"kit")
        other = bench.open("staging").notes
        assert other.read(NAME) is None
        assert other.write(NAME, b"x", after=version, keep=bench.keep) is None
        assert isinstance(other.write(NAME, b"staging", after=0, keep=bench.keep), Written)
        assert bench.text(NAME) == b"kit"

    def test_of_many_that_write_at_once_one_does(self, bench: StoreBench) -> None:
        """In ten rounds of eight clients each, that have all seen the same; the others learn what it wrote."""
        clients = [bench.open() for _ in range(8)]
        version = 0
        for _ in range(10):
            said = bench.together(
                [
                    partial(client.notes.write, NAME, b"%d" % number, after=version, keep=bench.keep)
                    for number, client in enumerate(clients)
                ]
            )
            [written] = [one for one in said if isinstance(one, Written)]
            winner = b"%d" % said.index(written)
            assert bench.text(NAME) == winner
            assert {one.text for one in said if isinstance(one, Note)} == {winner}
            version = written.version

    def test_a_sweep_removes_notes_that_were_kept_for_long_enough(self, bench: StoreBench) -> None:
        """Together with the claims, in the same bounded steps."""
        if not bench.harness.sweeps:
            assert bench.store.sweep(100) == 0
            return
        assert bench.complete(bench.token(), keep=bench.unit)
        for number in range(4):
            bench.noted(f"old {number}", b"x", keep=bench.unit)
        bench.noted("kept", b"x")
        bench.advance(2 * bench.unit)
        assert [bench.store.sweep(2) for _ in range(4)] == [2, 2, 1, 0]
        assert bench.text("kept") == b"x"
