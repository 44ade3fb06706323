"""stdout, stderr, terminals and what could steer them."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from cloudq.cli import output
from cloudq.errors import ConfigurationError


def test_table_off_a_terminal(capsys):
    """A row is a line however long it is, with no padding at its end, and markup is text."""
    output.table(("name", "much"), [("[red]a[/red]", "x" * 300), ("b\x1b[2J", None)])
    lines = capsys.readouterr().out.splitlines()
    assert ["name          much", "[red]a[/red]  " + "x" * 300, "b\\x1b[2J      -"] == lines


def test_what_others_wrote_forges_neither_row_nor_field(capsys):
    """Line ends and tabs of a cell, a name or a value are escaped: a row is a line, and so is a field."""
    output.table(("name",), [("a\nb\tc\u2028d",)])
    output.details([("header a\nworker", "x\nworker: trusted:1")])
    output.note("a\nb", "c")
    out, err = capsys.readouterr()
    assert ["name", "a\\nb\\tc\\u2028d", "header a\\nworker: x\\nworker: trusted:1", ""] == out.split("\n")
    assert "a\\nb\nc\n" == err


def test_table_on_a_terminal_is_coloured(monkeypatch, terminal):
    """On a terminal the heading is bold."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", terminal())
    output.table(("name",), [("a",)])
    assert "\x1b[1m" in sys.stdout.getvalue()


def test_no_color_is_respected(monkeypatch, terminal):
    """With NO_COLOR nothing is coloured: not a single colour code."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stdout", terminal())
    output.table(("name",), [("a",)])
    assert "\x1b[" not in sys.stdout.getvalue()


def test_json_is_utf8_and_one_line(capsysbinary):
    """One object a line, in UTF-8."""
    output.write_json({"a": "ü\n"})
    assert '{"a":"ü\\n"}\n'.encode() == capsysbinary.readouterr().out


def test_json_on_a_terminal_steers_nothing(capsysbinary):
    """What could is in JSON's own escapes: programs read the same value."""
    output.write_json({"a": "\x9b31m\x7f\u202e\u2028"})
    assert b'{"a":"\\u009b31m\\u007f\\u202e\\u2028"}\n' == capsysbinary.readouterr().out


def test_bytes_stay_in_order_with_text(capsysbinary):
    """Text that was written before the bytes comes before them."""
    sys.stdout.write("first ")
    output.write_bytes(b"\xff\x00")
    assert b"first \xff\x00" == capsysbinary.readouterr().out


def test_progress_is_silent_off_a_terminal(capsys):
    """A log file gets no progress bar."""
    with output.progress("working", 3) as done:
        done(1)
    assert ("", "") == capsys.readouterr()


def test_progress_on_a_terminal_is_on_stderr(monkeypatch, capsys, terminal):
    """A person sees the bar on stderr, and stdout stays data."""
    monkeypatch.setenv("TERM", "xterm")
    stderr = terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    with output.progress("working", 3) as done:
        done(3)
    assert "working" in stderr.getvalue()
    assert "3/3" in stderr.getvalue()
    assert "" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "expected", "end"),
    [("y\n", True, ""), ("YES\n", True, ""), ("n\n", False, ""), ("\n", False, ""), ("", False, "\n")],
)
def test_confirm_asks_on_stderr(typed, expected, end, person, capsys):
    """Only a yes is a yes; the question is no data; after Ctrl-D a new line begins."""
    person(typed)
    assert not output.confirm("a\x1b\nb?", yes=False) or typed
    assert "a\\x1b\\nb? [y/N] " in capsys.readouterr().err
    person(typed)
    assert expected is output.confirm("Delete all?", yes=False)
    assert ("", "Delete all? [y/N] " + end) == capsys.readouterr()


def test_confirm_needs_yes_off_a_terminal(cli):
    """Where nobody can be asked it is refused, with the way to do it all the same."""
    with pytest.raises(ConfigurationError) as caught:
        output.confirm("Delete all?", yes=False)
    assert "--yes" in caught.value.hint
    assert output.confirm("Delete all?", yes=True)


class Full(io.StringIO):
    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_a_table_on_a_full_disk_is_stdouts_error(monkeypatch):
    """It says that stdout can't be written, whichever part of the drawing meets it."""
    monkeypatch.setattr(sys, "stdout", Full())
    with pytest.raises(OSError, match="stdout can't be written") as raised:
        output.table(("name",), [("a",)])
    assert type(raised.value) is output.StdoutError


def test_what_is_all_about_a_closed_stream_is_refused(capsys):
    """An open one passes, wherever it leads."""
    with output.Nowhere("w") as closed, pytest.raises(ConfigurationError, match="stdout is closed") as raised:
        output.refuse_closed(closed, "stdout")
    assert "> FILE" in (raised.value.hint or "")
    with Path(os.devnull).open("w") as nothing:
        output.refuse_closed(nothing, "stdout")
    output.refuse_closed(sys.stdout, "stdout")


def test_closed_stream_is_no_terminal(terminal):
    """A closed stream is nobody's."""
    stream = terminal()
    stream.close()

    class Closed:
        def isatty(self):
            raise ValueError("I/O operation on closed file")

    assert not output.is_terminal(Closed())
