"""Who may open the files."""

import logging
import os
import stat
from pathlib import Path

import pytest

from cloudq.core.url import parse_url
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.drivers.sqlite.url import open_url
from cloudq.errors import BackendError
from cloudq.sqlite_file import files
from cloudq.sqlite_file.lock import WriteLock
from tests.unit.sqlite_file.test_lock import MOMENT


@pytest.fixture(autouse=True)
def umask():
    """That of a machine where everybody may read what one makes."""
    before = os.umask(0o022)
    files._warn.cache_clear()
    yield
    os.umask(before)
    files._warn.cache_clear()


def modes(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


def names(*suffixes: str) -> list[str]:
    return [f"q.db{suffix}" for suffix in suffixes]


ALL = names("", "-wal", "-shm", ".lock", ".turn")


def test_new_files_are_their_owners_only(bench, caplog):
    """Payloads aren't for the other users of a machine, nor is the lock; whatever the umask is."""
    driver = bench.open()
    bench.send(driver, "a")
    assert dict.fromkeys(ALL, 0o600) == modes(bench.folder)
    assert [] == caplog.messages


def test_a_mode_widens_them(bench, caplog):
    """For a group, say, or for all: the umask doesn't narrow it, and nothing is warned of."""
    for number, mode in enumerate((0o660, 0o666)):
        folder = bench.folder / str(number)
        folder.mkdir()
        driver = open_url(parse_url(f"sqlite:///{folder / 'q.db'}?mode={mode:04o}"), bench.clock)
        bench.send(driver, "a")
        assert dict.fromkeys(ALL, mode) == modes(folder)
        driver.close()
    assert [] == caplog.messages


@pytest.mark.parametrize("suffix", ["", ".lock", ".turn"])
def test_files_that_exist_keep_their_mode_and_are_warned_of(bench, caplog, suffix):
    """Once a process, by name, where other users can read one; a group's rights are nobody's mistake."""
    caplog.set_level(logging.WARNING)
    bench.open().close()
    for name in names("", ".lock", ".turn"):
        (bench.folder / name).chmod(0o640)
    bench.open().close()
    assert [] == caplog.messages
    (bench.folder / f"q.db{suffix}").chmod(0o604)
    bench.open().close()
    bench.open().close()
    assert 0o604 == modes(bench.folder)[f"q.db{suffix}"]
    (told,) = caplog.messages
    assert f"can read, or hold, q.db{suffix} in {bench.folder}: chmod 600" in told


def test_a_folder_that_all_may_write_is_warned_of(bench, caplog):
    """Others can put another database, or lock, into its place."""
    caplog.set_level(logging.WARNING)
    (shared := bench.folder / "shared").mkdir()
    shared.chmod(0o777)
    SQLiteDriver(shared / "q.db").close()
    assert [f"other users of this machine can write in {shared}, where the database q.db is"] == caplog.messages


@pytest.mark.parametrize("suffix", [".lock", ".turn"])
@pytest.mark.parametrize("there", [False, True])
def test_a_lock_file_is_no_link(bench, suffix, there):
    """Neither is what it names made, nor locked: somebody else may have put it there. No file is left open."""
    target = bench.folder / "target"
    if there:
        target.write_text("theirs")
    (bench.folder / f"q.db{suffix}").symlink_to(target)
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(BackendError, match=f"q.db{suffix} is a symbolic link"):
        bench.open()
    assert there == target.exists()
    assert before == len(list(Path("/dev/fd").iterdir()))


def test_a_lock_file_that_becomes_a_link_is_not_followed(tmp_path):
    """It is looked at each time that it is taken."""
    lock = WriteLock(tmp_path / "q.db", MOMENT)
    lock.acquire()
    lock.release()
    (tmp_path / "q.db.lock").unlink()
    (tmp_path / "q.db.lock").symlink_to(tmp_path / "target")
    with pytest.raises(BackendError, match="is a symbolic link"):
        lock.acquire()
    lock.close()
    assert not (tmp_path / "target").exists()


def test_a_database_by_another_name_has_the_same_lock(bench):
    """Its path is resolved once: two names of one database exclude each other, and the link may change."""
    (bench.folder / "real").mkdir()
    link = bench.folder / "link.db"
    link.symlink_to(bench.folder / "real/q.db")
    driver = bench.open(path=link)
    bench.send(driver, "a")
    assert ["link.db", "real"] == sorted(file.name for file in bench.folder.iterdir())
    assert set(ALL) == set(modes(bench.folder / "real"))
    link.unlink()
    assert ["a"] == [one.id for one in bench.receive(driver)]


def test_a_file_from_elsewhere_gets_no_dangerous_functions(bench, driver):
    """What its schema calls by itself, a view or a trigger, may not be more than harmless."""
    database = driver._session.database
    for connection in (database._writer, database._reader):
        assert (0,) == connection.execute("PRAGMA trusted_schema").fetchone()
    assert (1,) == database._writer.execute("PRAGMA cell_size_check").fetchone()
