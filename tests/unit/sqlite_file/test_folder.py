"""One look at a folder stands for a look at each name in it, and misses nothing."""

import os
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest
from freezegun import freeze_time

from cloudq.sqlite_file.folder import Folder
from cloudq.testing.clock import FakeClock

CHANGES = {
    "made": lambda folder: (folder / "new").touch(),
    "deleted": lambda folder: (folder / "file").unlink(),
    "replaced": lambda folder: (folder.parent / "other").rename(folder / "file"),
    "renamed": lambda folder: (folder / "file").rename(folder / "away"),
    "moved away": lambda folder: (folder / "file").rename(folder.parent / "away"),
    "linked": lambda folder: (folder / "link").symlink_to(folder / "file"),
    "the folder renamed": lambda folder: (folder.rename(folder.parent / "away"), folder.mkdir()),
    "the folder deleted": lambda folder: folder.rename(folder.parent / "away"),
}


@pytest.fixture
def settled(tmp_path):
    """A folder that was changed a while ago, and its state."""
    path = tmp_path / "folder"
    path.mkdir()
    (path / "file").touch()
    (tmp_path / "other").touch()
    folder = Folder(path)
    while folder.state() != folder.state():
        pass  # it is watched until it has settled, which takes a tenth of a second
    return path, folder, folder.state()


@pytest.mark.parametrize("how", CHANGES)
def test_a_change_of_names_changes_the_state(settled, how):
    """Whatever gives a name in it to another file, or takes it away, and however soon after a look."""
    path, folder, before = settled
    CHANGES[how](path)
    assert before != folder.state()


def test_writing_to_files_changes_nothing(settled):
    """Only names count: what is written in the files of the folder leaves its state the same."""
    path, folder, before = settled
    with (path / "file").open("wb") as file:
        file.write(b"x")
        os.fsync(file.fileno())
    assert before == folder.state()


def test_a_change_cannot_be_dated_back(settled):
    """Setting the folder's times by hand hides no change."""
    path, folder, before = settled
    was = path.stat()
    (path / "file").unlink()
    os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert before != folder.state()


@pytest.mark.parametrize(
    ("age", "fraction", "settles"), [(0.05, 1, False), (0.2, 1, True), (2.5, 0, False), (4, 0, True)]
)
def test_a_folder_that_was_just_changed_is_not_relied_on(tmp_path, monkeypatch, age, fraction, settles):
    """Until a later change must have another time: a tick of the clock, or some seconds where it keeps whole ones."""
    clock, folder = clocked(tmp_path, monkeypatch, 1_700_000_000_000_000_000 + fraction)
    folder.state()
    clock.advance(timedelta(seconds=age))
    folder.state()
    assert settles == (folder.state() == folder.state())


@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize("frozen", [False, True])
def test_the_time_of_day_says_nothing_of_a_change(tmp_path, monkeypatch, hours, frozen):
    """It was set since, or a test has frozen it, or the file system goes by another: ahead or behind."""
    changed = datetime.now(UTC) + timedelta(hours=hours)
    clock, folder = clocked(tmp_path, monkeypatch, int(changed.timestamp()) * 10**9 + 1)
    with freeze_time(changed + timedelta(hours=hours)) if frozen else nullcontext():
        assert folder.state() != folder.state()
        clock.advance(timedelta(seconds=0.2))
        folder.state()
        assert folder.state() == folder.state()


def test_a_look_is_as_old_as_it_is(tmp_path, monkeypatch):
    """A thread that is held up behind its look doesn't take that for one of the time at which it goes on."""
    clock, folder = clocked(tmp_path, monkeypatch, 1_700_000_000_000_000_001)
    folder.state()
    clock.advance(timedelta(seconds=0.2))
    assert folder.state() != folder.state()


def clocked(path, monkeypatch, changed):
    """A folder that was changed at some time, and the clock by which it is looked at."""
    real = path.stat()
    monkeypatch.setattr(os, "stat", lambda _: Status(real, changed))
    clock = FakeClock()
    return clock, Folder(path, clock)


class Status:
    """What the system says of a folder, but for when it was changed."""

    def __init__(self, status, changed):
        self.st_ino, self.st_dev, self.st_ctime_ns = status.st_ino, status.st_dev, changed
