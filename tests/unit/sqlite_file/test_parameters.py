"""What a `sqlite:///PATH` says."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudq.core.url import parse_url
from cloudq.errors import ConfigurationError
from cloudq.sqlite_file.parameters import is_full, mode_of, path_of


@pytest.mark.parametrize(("url", "path"), [("sqlite:///q.db", "q.db"), ("sqlite:////var/lib/q.db", "/var/lib/q.db")])
def test_a_path(url: str, path: str) -> None:
    """From the current folder with three slashes, absolute with four."""
    assert path_of(parse_url(url)) == Path(path)


@pytest.mark.parametrize("url", ["sqlite://q.db", "sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_what_names_no_file_is_refused(url: str) -> None:
    """A host, nothing, or memory."""
    with pytest.raises(ConfigurationError):
        path_of(parse_url(url))


@pytest.mark.parametrize(
    ("parameters", "full"), [("", True), ("?synchronous=FULL", True), ("?synchronous=normal", False)]
)
def test_what_is_flushed(parameters: str, full: bool) -> None:
    """All that must survive a loss of power, unless the URL says otherwise."""
    assert is_full(parse_url(f"sqlite:///q.db{parameters}")) is full


def test_a_level_that_keeps_nothing_is_refused() -> None:
    """SQLite knows `off`."""
    with pytest.raises(ConfigurationError, match="neither full nor normal"):
        is_full(parse_url("sqlite:///q.db?synchronous=off"))


@pytest.mark.parametrize(("parameters", "mode"), [("", 0o600), ("?mode=660", 0o660), ("?mode=0644", 0o644)])
def test_who_may_read_and_write(parameters: str, mode: int) -> None:
    """Its owner alone, unless the URL says otherwise."""
    assert mode_of(parse_url(f"sqlite:///q.db{parameters}")) == mode


@pytest.mark.parametrize("mode", ["777", "400", "0x600", "rw", ""])
def test_a_mode_is_a_files_that_its_owner_can_use(mode: str) -> None:
    """Nobody runs a database."""
    with pytest.raises(ConfigurationError, match="mode isn't one"):
        mode_of(parse_url(f"sqlite:///q.db?mode={mode}"))
