"""One reading of a database's URL for all that is looked for in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudq.errors import ConfigurationError
from cloudq.user_database.addresses import engine_of, file_of, limits_of


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///shop.db", "shop.db"),
        ("sqlite:////srv/shop.db", "/srv/shop.db"),
        ("sqlite+pysqlite:////srv/shop.db", "/srv/shop.db"),
        ("sqlite:////srv/my%20shop.db?timeout=3", "/srv/my shop.db"),
    ],
)
def test_a_url_of_sqlite_names_a_file(url: str, path: str) -> None:
    """With a driver's name or without, and with `%20` for a space."""
    assert Path(path) == file_of(url, "outbox")


def test_a_file_that_has_the_name_as_it_is_written_is_meant(tmp_path: Path) -> None:
    """It was found by that before `%20` stood for a space."""
    (tmp_path / "50%25.db").touch()
    assert tmp_path / "50%25.db" == file_of(f"sqlite:///{tmp_path}/50%25.db", "outbox")


def test_a_file_that_cant_be_looked_for_may_be_there(tmp_path: Path) -> None:
    """Who opens it says what is wrong: its folder may be closed to this user, or, as here, its name too long."""
    path = tmp_path / f"{'a' * 300}.db"
    assert path == file_of(f"sqlite:///{path}", "outbox")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///"])
def test_a_url_of_sqlite_without_a_file_is_refused(url: str) -> None:
    """What it was for is said."""
    with pytest.raises(ConfigurationError, match="no file for the inbox"):
        file_of(url, "inbox")


def test_a_url_of_a_server_names_no_file() -> None:
    """It is for an engine."""
    assert file_of("postgresql://host/shop", "outbox") is None


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://host/shop", "postgresql+psycopg"),
        ("postgresql://host/shop?connect_timeout=3", "postgresql+psycopg"),
        ("mysql://host/shop", "mysql+pymysql"),
        ("mariadb://host/shop", "mariadb+pymysql"),
        ("mysql+pymysql://host/shop", "mysql+pymysql"),
    ],
)
def test_a_url_of_a_server_is_for_an_engine(url: str, driver: str) -> None:
    """With the drivers that the extra brings, unless it names one."""
    assert driver == engine_of(url, "outbox").url.drivername


def test_limits_are_told_in_each_driver_s_words() -> None:
    """How long a server may say nothing; and nothing to a driver that isn't known."""
    assert set(limits_of("psycopg")) == {"connect_timeout", "tcp_user_timeout", "prepare_threshold"}
    assert set(limits_of("psycopg2")) == {"connect_timeout", "tcp_user_timeout"}
    assert limits_of("pymysql") == limits_of("mysqldb") != {}
    assert limits_of("mysqlconnector") == {}
