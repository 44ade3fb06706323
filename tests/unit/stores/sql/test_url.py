"""What a `postgresql://`, `mysql://` or `mariadb://` says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.store_url import parse_store_url
from cloudq.errors import ConfigurationError
from cloudq.stores.sql.url import address_of, engine_of

FIVE = timedelta(seconds=5)
HIDDEN = "hunter2"


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://h/d", "postgresql+psycopg"),
        ("postgresql+psycopg2://h/d", "postgresql+psycopg2"),
        ("mysql://h/d", "mysql+pymysql"),
        ("mariadb://h/d", "mariadb+pymysql"),
        ("mysql+mysqldb://h/d", "mysql+mysqldb"),
    ],
)
def test_the_driver_is_the_extras_or_the_one_named(url: str, driver: str) -> None:
    """As `cloudq[sql]` brings it."""
    assert address_of(parse_store_url(url)).drivername == driver


def test_the_parts_of_a_url() -> None:
    """What says who the server is goes to the driver, and ours doesn't."""
    address = address_of(
        parse_store_url("postgresql://app:p%40w@[::1]:5433/jobs?prefix=prod&timeout=2&sslmode=verify-full")
    )
    assert (address.username, address.password, address.host, address.port) == ("app", "p@w", "::1", 5433)
    assert address.database == "jobs"
    assert dict(address.query) == {"sslmode": "verify-full"}


def test_mysql_takes_every_character() -> None:
    """Whatever the server's own default is."""
    assert dict(address_of(parse_store_url("mysql://h/d")).query) == {"charset": "utf8mb4"}


def test_no_text_of_the_engine_shows_the_password() -> None:
    """Nor what is bound: keys may be a customer's."""
    engine = engine_of(parse_store_url(f"postgresql://app:{HIDDEN}@h/d"), FIVE)
    assert HIDDEN not in f"{engine!r} {engine.url!r} {engine.url}"
    assert engine.hide_parameters
    engine.dispose()


@pytest.mark.parametrize("url", ["postgresql://h", "postgresql://h/", "postgresql://h/a/b"])
def test_it_names_a_database(url: str) -> None:
    """One."""
    with pytest.raises(ConfigurationError, match="names no database"):
        address_of(parse_store_url(url))
