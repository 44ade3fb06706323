"""From a URL to an open store."""

from __future__ import annotations

import subprocess
import sys
import traceback
from datetime import timedelta

import pytest

from cloudq.core.store import Claimed, ClaimKey
from cloudq.core.store_url import parse_store_url
from cloudq.errors import ConfigurationError
from cloudq.stores import opening
from cloudq.stores.memory import MemoryStore
from cloudq.stores.opening import open_store
from cloudq.testing.clock import FakeClock
from tests.imports import forget

HIDDEN = "hunter2"
KEY = ClaimKey("billing.charge", "order-1")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("cloudq.db", "starts with a scheme"),
        ("memory://host", "neither a host nor a path"),
        ("memory://?ttl=5", "no parameter 'ttl'"),
        ("memory://?prefix=", "empty prefix"),
        ("mongodb://host", "there is no store 'mongodb'"),
        ("postgres://host/db", "postgresql://"),
        ("postgresql://host", "names no database"),
        ("postgresql+asyncpg://host/db", "names a driver"),
        ("postgresql://host/db?charset=utf8", "no parameter 'charset'"),
        ("mysql://host/db?sslmode=require", "no parameter 'sslmode'"),
        ("dynamodb://", "takes the name of a table"),
        ("dynamodb://cloudq/x", "takes the name of a table"),
        ("dynamodb://key:secret@cloudq", "holds credentials"),
        ("dynamodb://cloudq?region=eu-west-1&endpoint_url=localhost", "neither http:// nor https://"),
        ("dynamodb://cloudq?region=eu-west-1&endpoint_url=http://db", "without TLS"),
        ("redis:///0", "names no host"),
        ("redis://host/one", "not the number of a database"),
        ("redis://host/0?ssl_ca_certs=x", "no parameter 'ssl_ca_certs'"),
        ("valkey://host/0", "redis://"),
    ],
)
def test_a_url_that_no_store_understands_is_refused(url: str, why: str) -> None:
    """At open, before anything is called."""
    with pytest.raises(ConfigurationError, match=why):
        open_store(url, namespace="app")


def test_a_store_in_memory_is_opened_on_the_clock_given() -> None:
    """What it opens works, by that clock."""
    clock = FakeClock()
    store = open_store("memory://?prefix=x", namespace="app", clock=clock)
    assert isinstance(store, MemoryStore)
    lease = timedelta(minutes=1)
    first = store.claim(KEY, owner="a", lease=lease, fingerprint=None, keep=lease)
    clock.advance(lease)
    second = store.claim(KEY, owner="b", lease=lease, fingerprint=None, keep=lease)
    assert isinstance(first, Claimed)
    assert isinstance(second, Claimed)
    store.close()


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        (f"postgresql://app:{HIDDEN}@host/db", "sqlalchemy", "sql"),
        (f"mariadb://app:{HIDDEN}@host/db", "sqlalchemy", "sql"),
        (f"rediss://:{HIDDEN}@host/0", "redis", "redis"),
        ("dynamodb://cloudq?region=eu-west-1", "botocore", "sqs"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    url: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no password with it."""
    forget(monkeypatch, module)
    forget(monkeypatch, "cloudq.stores", but="cloudq.stores.opening")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=f"needs the module '{module}.*'") as raised:
        open_store(url, namespace="app")
    assert raised.value.hint == f"pip install 'cloudq[{extra}]'"
    assert HIDDEN not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("url", "module", "package"),
    [
        ("mysql://host/db", "pymysql", "PyMySQL"),
        ("postgresql://host/db", "psycopg", "psycopg[binary]"),
        ("mariadb+mysqldb://host/db", "MySQLdb", "mysqlclient"),
    ],
)
def test_a_driver_that_is_missing_is_named_by_its_package(
    url: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of them is the user's choice: the extra brings SQLAlchemy alone."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=f"needs the module '{module}'") as raised:
        open_store(url, namespace="app")
    assert raised.value.hint == f"pip install '{package}'"


def test_opening_loads_what_it_needs_only() -> None:
    """Each store's package at the first use of its scheme."""
    heavy = {"sqlalchemy", "redis", "botocore", "sqlite3"}
    source = (
        "import sys\nfrom cloudq.stores.opening import open_store\n"
        f"open_store('memory://', namespace='app')\nprint(sorted({heavy!r} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "[]"


def test_every_scheme_has_a_module_that_opens_it() -> None:
    """The table's modules are there, under these names: they are imported by name only."""
    for scheme in opening._KINDS:
        assert callable(opening._opener(parse_store_url(f"{scheme}://x/y")))
