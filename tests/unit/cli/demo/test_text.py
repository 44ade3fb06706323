"""What the tours say in the same way."""

from __future__ import annotations

import sys

import pytest

from cloudq.cli.demo.text import Lines, dead_letters


def test_a_quarter_of_the_work_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, four in all, whatever the number; each call says how many have run."""
    lines = Lines(10)
    assert list(range(1, 11)) == [lines.one_more() for _ in range(10)]
    out, err = capsys.readouterr()
    assert "" == out
    assert ["3 of 10", "5 of 10", "8 of 10", "10 of 10"] == [
        line.split(" tasks")[0].strip() for line in err.splitlines()
    ]


def test_fewer_tasks_than_lines_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    """No line twice."""
    lines = Lines(2)
    lines.one_more()
    lines.one_more()
    assert ["   1 of 2 tasks have run", "   2 of 2 tasks have run"] == capsys.readouterr().err.splitlines()


def test_on_a_terminal_nothing_is_said(terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """There a bar shows it."""
    shown = terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    lines = Lines(1)
    assert 1 == lines.one_more()
    assert "" == shown.getvalue()


def test_what_has_not_all_run_was_interrupted() -> None:
    """A worker that ends well before that has taken the user's signal."""
    lines = Lines(2)
    lines.one_more()
    with pytest.raises(KeyboardInterrupt):
        lines.raise_if_interrupted()
    lines.one_more()
    lines.raise_if_interrupted()


def test_of_no_work_there_is_no_quarter() -> None:
    """A task that ends all the same is counted."""
    assert 1 == Lines(0).one_more()


def test_dead_letters_are_counted_in_words() -> None:
    """One is no plural."""
    assert ["0 dead letters", "1 dead letter", "2 dead letters"] == [dead_letters(many) for many in range(3)]
