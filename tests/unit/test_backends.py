"""From a URL to an open driver."""

from __future__ import annotations

from datetime import timedelta
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from cloudq import App
from cloudq.backends import open_driver
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("memory://host", "neither a host nor a path"),
        ("memory:///path", "neither a host nor a path"),
        ("memory://?ttl=5", "no parameter 'ttl'"),
        ("memory://?dedup_window=soon", "no number of seconds"),
        ("memory://?dedup_window=-1", "no number of seconds"),
        ("memory://?dedup_window=nan", "no number of seconds"),
        ("memory://?dedup_window=1e300", "no number of seconds"),
        ("sqlite://cloudq.db", "stands where a host would"),
        ("sqlite://", "needs the path of a file"),
        ("sqlite:///", "needs the path of a file"),
        ("sqlite:///:memory:", "needs the path of a file"),
        ("sqlite:///q.db?synchronous=off", "neither full nor normal"),
        ("sqlite:///q.db?busy_timeout=x", "no number of seconds"),
        ("sqlite:///q.db?password=x", "no parameter 'password'"),
        ("redis://host", "there is no backend 'redis'"),
        ("sqllite:///q.db", "did you mean 'sqlite'"),
    ],
)
def test_a_url_that_no_driver_understands_is_refused(url, why, monkeypatch, tmp_path):
    """At open, and no file is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=why):
        open_driver(url, SYSTEM_CLOCK)
    assert [] == list(tmp_path.iterdir())


def test_memory_takes_its_window_of_deduplication():
    """Parameters reach the driver."""
    driver = open_driver("memory://?dedup_window=7.5", SYSTEM_CLOCK)
    assert timedelta(seconds=7.5) == driver.capabilities("q").deduplication


@pytest.mark.parametrize("absolute", [False, True])
def test_sqlite_opens_the_file_that_the_url_names(absolute, monkeypatch, tmp_path):
    """Relative to the current folder by three slashes, absolute by four; percent-decoded."""
    monkeypatch.chdir(tmp_path)
    path = f"/{tmp_path}/a%20b.db".replace("//", "/") if absolute else "a%20b.db"
    app = App(f"sqlite:///{path}?synchronous=normal")
    app.send("somewhere")
    app.close()
    assert (tmp_path / "a b.db").is_file()


def test_another_package_adds_a_backend(monkeypatch):
    """By an entry point of the group `cloudq.drivers`; the opener gets the parsed URL and the clock."""
    opened = []

    def opener(url, clock):
        opened.append((url.host, clock))
        return MemoryDriver(clock=clock)

    class Entry(EntryPoint):
        def load(self):
            return opener

    entry = Entry(name="theirs", value="x:y", group="cloudq.drivers")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: EntryPoints([entry]).select(group=group))
    assert isinstance(open_driver("theirs://host", SYSTEM_CLOCK), MemoryDriver)
    assert [("host", SYSTEM_CLOCK)] == opened
    with pytest.raises(ConfigurationError) as caught:
        open_driver("nobodys://", SYSTEM_CLOCK)
    assert "backends: memory, sqlite, theirs" == caught.value.hint
