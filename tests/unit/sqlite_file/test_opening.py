"""What is refused at open, and what isn't."""

import logging
from pathlib import Path

import pytest

from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.errors import ConfigurationError, UnsupportedError
from cloudq.sqlite_file import opening


def test_a_missing_folder_is_named(tmp_path):
    """The folder isn't made: the error names it and the hint makes it."""
    with pytest.raises(ConfigurationError, match=f"{tmp_path / 'missing'} of the database doesn't exist") as raised:
        SQLiteDriver(tmp_path / "missing" / "q.db")
    assert f"mkdir -p {tmp_path / 'missing'}" in raised.value.hint
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["", ":memory:"])
def test_a_path_that_names_no_file_is_refused(path):
    """Queues in memory are another driver's."""
    with pytest.raises(ConfigurationError, match="names no file"):
        SQLiteDriver(path)


def test_a_folder_is_no_database(tmp_path):
    """The path of a folder is refused."""
    with pytest.raises(ConfigurationError, match="is a folder"):
        SQLiteDriver(tmp_path)


def test_an_old_sqlite_is_refused():
    """Without RETURNING there is no driver; the error names both versions."""
    with pytest.raises(UnsupportedError, match=r"SQLite 3\.34\.1 is too old: cloudq needs 3\.35\.0"):
        opening.refuse_old_sqlite((3, 34, 1))


def test_the_wal_reset_bug_is_mentioned_once(caplog):
    """A version with the bug is only worth a line for those who debug, once: the write lock excludes it."""
    caplog.set_level(logging.DEBUG)
    opening.refuse_old_sqlite.cache_clear()
    for _ in range(2):
        opening.refuse_old_sqlite((3, 51, 2))
        opening.refuse_old_sqlite((3, 51, 3))
    assert ["SQLite 3.51.2 has the WAL-reset bug; the write lock keeps it from happening"] == caplog.messages


def test_any_kind_of_path_is_taken(bench, tmp_path):
    """A text is as good as a Path, and odd names are names: no URI, no wildcard."""
    for name in ("file:odd?mode=memory", "with space%20.db"):
        driver = bench.open(path=str(tmp_path / name))
        bench.send(driver, "a")
        assert Path(tmp_path / name).exists()


def test_a_text_needn_t_be_utf8():
    """Python's own way fails the statement, and with it all that was taken."""
    assert ["ü", b"\xff"] == [opening.text_or_bytes("ü".encode()), opening.text_or_bytes(b"\xff")]
