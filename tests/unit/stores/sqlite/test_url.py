"""What a `sqlite:///PATH` says of a store."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.store_url import parse_store_url
from cloudq.errors import ConfigurationError
from cloudq.stores.opening import open_store
from cloudq.stores.sqlite.url import open_url

FIVE = timedelta(seconds=5)


def test_the_file_is_made_with_its_mode(tmp_path: Path) -> None:
    """For its owner alone, unless the URL says otherwise."""
    for name, parameters, mode in (("a.db", "", 0o600), ("b.db", "?mode=660&prefix=prod&timeout=2", 0o660)):
        store = open_store(f"sqlite:///{tmp_path}/{name}{parameters}", namespace="app")
        assert (tmp_path / name).stat().st_mode & 0o777 == mode
        assert repr(store) == f"SqliteStore('{tmp_path}/{name}')"
        store.close()


@pytest.mark.parametrize(
    "url", ["sqlite://cloudq.db", "sqlite:///", "sqlite:///q.db?dedup_window=5", "sqlite:///q.db?synchronous=off"]
)
def test_a_url_that_says_nothing_is_refused(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no file is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError):
        open_url(parse_store_url(url), "app", FIVE, SYSTEM_CLOCK)
    assert list(tmp_path.iterdir()) == []
