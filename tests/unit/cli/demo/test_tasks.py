"""The tasks of the tour on SQLite: an index of text files."""

from __future__ import annotations

from cloudq.cli.demo.tasks import app, entries, index


def test_index_is_idempotent(tmp_path):
    """The task run twice leaves one entry, the same, and nothing unfinished."""
    (tmp_path / "a.txt").write_text("Word word")
    into = tmp_path / "into"
    into.mkdir()
    for _ in range(2):
        with app.eager():
            app.send(index, {"file": str(tmp_path / "a.txt"), "into": str(into)})
    [entry] = entries(into)
    assert ({"word": 2}, 1) == (entry.words, len(list(into.iterdir())))
