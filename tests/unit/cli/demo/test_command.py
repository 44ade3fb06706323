"""`cloudq demo`, on a small folder, and its tasks."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from cloudq.cli.demo import command as module
from cloudq.cli.demo.tasks import entries
from cloudq.worker.service import Worker


@pytest.fixture
def notes(folder, monkeypatch):
    """A folder with three text files, and others that aren't; temporary folders are made beside it."""
    place = folder.path / "notes"
    (place / ".hidden").mkdir(parents=True)
    (place / "inner").mkdir()
    (place / "one.md").write_text("delivery delivery delivery")
    (place / "inner" / "two.txt").write_text("delivery settlement")
    (place / "three.py").write_text("x = 1")
    (place / ".hidden" / "four.md").write_text("hiddenword")
    (place / "five.bin").write_text("binaryword")
    (place / "latin.txt").write_text("caféword", encoding="latin-1")
    temporary = folder.path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return place


def test_demo(cli, notes):
    """It indexes each text file, shows the dead letter, redrives it, and leaves nothing behind."""
    result = cli("demo", "--folder", str(notes))
    assert 0 == result.code, result.err
    assert "one task for each of 3 text files" in result.out
    assert "(1 more are too large, or not UTF-8" in result.out
    assert "3 files are indexed" in result.out
    assert re.search(r"^delivery +4 +2$", result.out, re.MULTILINE)
    assert "hiddenword" not in result.out
    assert "reason:       not retried: UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe9" in result.out
    assert "1 dead letter sent again. 4 of 4 files are indexed;" in result.out
    assert "0 messages are waiting, 0 dead letters left." in result.out
    assert result.out.endswith("All done.\n")
    assert [] == list(Path(tempfile.gettempdir()).iterdir())


def test_progress_off_a_terminal_is_lines_on_stderr(cli, notes):
    """A log gets a line for each quarter, and stdout none of them."""
    result = cli("demo", "--folder", str(notes))
    assert ["   1 of 4 tasks have run", "   2 of 4 tasks have run"] == sorted(
        line for line in result.err.splitlines() if "of 4 tasks" in line
    )[:2]
    assert "tasks have run" not in result.out


def test_a_signal_ends_it_and_not_its_worker_alone(cli, notes, monkeypatch):
    """The worker takes Ctrl-C for its own and ends well, with work left; no untrue figures follow, and 130 is said."""
    monkeypatch.setattr(Worker, "run", lambda _: 0)
    result = cli("demo", "--folder", str(notes))
    assert 130 == result.code
    assert "files are indexed" not in result.out
    assert "All done" not in result.out


def test_keep(cli, notes):
    """`--keep` leaves database and index, and says where; what it says to look with works."""
    out = cli("demo", "--folder", str(notes), "--keep").out
    [place] = Path(tempfile.gettempdir()).iterdir()
    assert f"Kept: {place}" in out
    assert 4 == len(entries(place / "index"))
    command = re.search(r"Look around: cloudq (.*)", out).group(1)
    assert 0 == cli(*command.split()).code


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_nothing_to_index_is_2(cli, folder, name):
    """A folder that isn't there, or has no text, ends with 2 and a hint."""
    (folder.path / "empty").mkdir()
    result = cli("demo", "--folder", name)
    assert (2, "") == (result.code, result.out)
    assert "hint: " in result.err


def test_files_are_bounded(notes, monkeypatch):
    """However large the folder, the demo takes seconds: files beyond the bound are counted, not sent."""
    monkeypatch.setattr(module, "MOST_FILES", 2)
    files, skipped = module._find_files(notes)
    assert (2, 2) == (len(files), skipped)
