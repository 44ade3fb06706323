"""`cloudq store`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq.core.store import ClaimKey
from cloudq.stores.opening import open_store
from cloudq.stores.sqlite import schema

NEWEST = len(schema.MIGRATIONS)
SOON = timedelta(milliseconds=1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite:///{file}"


@pytest.fixture
def full(url: str) -> Iterator[str]:
    """A store with 1,203 records that may go, and one that may not."""
    store = open_store(url, namespace="x")
    for number in range(1_203):
        store.claim(ClaimKey("t", str(number)), owner="me", lease=SOON, fingerprint=None, keep=SOON)
    kept = timedelta(days=1)
    store.claim(ClaimKey("t", "kept"), owner="me", lease=kept, fingerprint=None, keep=kept)
    store.close()
    return url


def test_migrate_makes_tables_and_says_so(cli, shop, url, file):
    """A second time it says that nothing is to do."""
    assert (0, f"{url} is now at version {NEWEST}; it had no tables\n", "") == cli("store", "migrate", "--store", url)
    assert file.exists()
    assert (0, f"{url} is up to date: version {NEWEST}\n", "") == cli("store", "migrate", "--store", url)


def test_migrate_as_json(cli, shop, url):
    """With both versions."""
    for before in (0, NEWEST):
        result = cli("store", "migrate", "--store", url, "--json")
        assert (0, "") == (result.code, result.err)
        assert {"store": url, "before": before, "now": NEWEST} == json.loads(result.out)


def test_migrate_without_tables(cli, shop):
    """Redis has none: nothing is connected to."""
    result = cli("store", "migrate", "--store", "redis://nowhere.invalid/0")
    assert (0, "") == (result.code, result.out)
    assert "has no tables that a migration makes" in result.err


@pytest.mark.parametrize("scheme", ["postgresql", "mariadb", "mysql"])
def test_print_shows_the_sql_and_connects_to_nothing(cli, shop, scheme):
    """On stdout, with no password."""
    result = cli("store", "migrate", "--print", "--store", f"{scheme}://app:hunter2@nowhere.invalid/jobs")
    assert (0, "") == (result.code, result.err)
    assert "create table if not exists cloudq_claims" in result.out
    assert "hunter2" not in result.out


def test_print_of_sqlite_makes_no_file(cli, shop, url, file):
    """It is SQL that SQLite takes."""
    result = cli("store", "migrate", "--print", "--store", url)
    assert 0 == result.code
    connection = sqlite3.connect(":memory:")
    connection.executescript(result.out)
    assert NEWEST == schema.version_in(connection)
    connection.close()
    assert not file.exists()


def test_print_and_json_exclude_each_other(cli, shop, url):
    """Exit code 2."""
    assert 2 == cli("store", "migrate", "--print", "--json", "--store", url).code


def test_a_newer_store_is_exit_code_3(cli, shop, url, file):
    """It is left as it is."""
    cli("store", "migrate", "--store", url)
    connection = sqlite3.connect(file)
    connection.execute("INSERT INTO store_schema VALUES (99)")
    connection.commit()
    connection.close()
    for command in ("migrate", "sweep"):
        result = cli("store", command, "--store", url)
        assert (3, "") == (result.code, result.out)
        assert "version 99" in result.err


def test_sweep_removes_all_that_may_go(cli, shop, full):
    """In portions; what is kept stays."""
    assert (0, f"removed 1,203 records from {full}\n", "") == cli("store", "sweep", "--store", full)
    assert (0, f"removed 0 records from {full}\n", "") == cli("store", "sweep", "--store", full)
    store = open_store(full, namespace="x")
    assert store.show(ClaimKey("t", "kept")) is not None
    store.close()


def test_sweep_up_to_a_limit(cli, shop, full):
    """Not one more."""
    removed = [json.loads(cli("store", "sweep", "--store", full, "--limit", "700", "--json").out) for _ in range(3)]
    assert [{"store": full, "removed": count} for count in (700, 503, 0)] == removed


def test_a_file_that_is_not_there_is_not_made(cli, shop, url, file):
    """A mistyped path is said to be one."""
    result = cli("store", "sweep", "--store", url)
    assert 0 == result.code
    assert "doesn't exist" in result.err
    assert not file.exists()


def test_the_store_beside_the_backend_is_the_default(cli, shop):
    """The app's file, its own or the environment's."""
    result = cli("store", "sweep", "--json")
    assert 0 == result.code
    assert json.loads(result.out)["store"] == shop.url


def test_the_environments_store(cli, shop, url, monkeypatch):
    """`CLOUDQ_STORE_URL`; `--store` goes before it."""
    monkeypatch.setenv("CLOUDQ_STORE_URL", url)
    assert url in cli("store", "migrate").out
    monkeypatch.setenv("CLOUDQ_STORE_URL", "none")
    result = cli("store", "migrate")
    assert (2, "") == (result.code, result.out)
    assert "no store" in result.err
    assert 0 == cli("store", "migrate", "--store", url).code


@pytest.mark.parametrize("url", ["postgresql://app:hunter2@/x/y", "redis://:hunter2/3@h/0", "hunter2"])
def test_a_url_that_cannot_be_used_is_exit_code_2(cli, shop, url):
    """And no text shows what stands in it."""
    result = cli("store", "migrate", "--store", url)
    assert (2, "") == (result.code, result.out)
    assert "hunter2" not in result.err


def test_no_password_is_shown(cli, shop):
    """Nor in the traceback that --debug shows."""
    result = cli("store", "sweep", "--store", "postgresql://app:hunter2@127.0.0.1:1/jobs", "--debug")
    assert (3, "") == (result.code, result.out)
    assert "hunter2" not in result.err
