"""The SQL stores on servers as they are met: locked rows, any isolation level, replicas, and one that is read only."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, delete, make_url, table, text

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.store import Claimed, ClaimKey, Completed, InProgress
from cloudq.core.store_url import parse_store_url
from cloudq.errors import StoreRefused, StoreUnavailable
from cloudq.stores.sql import SqlStore, schema
from cloudq.stores.sql.dialect import LOCK_WAIT, TABLE
from cloudq.stores.sql.url import engine_of, open_url
from cloudq.testing.stores import StoreHarness
from cloudq.testing.stores.bench import StoreBench
from cloudq.testing.stores.suite import StoreConformance
from tests.benchmarks.round_trips import RoundTrips
from tests.servers import databases

pytestmark = pytest.mark.slow
PATIENT = timedelta(seconds=30)
MINUTE = timedelta(minutes=1)
KEY = ClaimKey("billing.charge", "order-1")
LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


class Harness(StoreHarness):
    """The server in its own time, which nothing here has to pass."""

    def __init__(self, url: str) -> None:
        self.url = url
        store = self.open()
        schema.migrate(store._engine)
        store.close()
        self.engine = create_engine(url)
        with self.engine.begin() as connection:
            connection.execute(delete(table(TABLE)))
            connection.execute(text("drop table if exists effects"))
            connection.execute(text("create table effects (name varchar(100) primary key)"))

    def open(self, namespace: str = "kit") -> SqlStore:
        return SqlStore(engine_of(parse_store_url(self.url), PATIENT), namespace)

    def advance(self, delta: timedelta) -> None:
        raise NotImplementedError

    def close(self) -> None:
        self.engine.dispose()


@pytest.fixture(scope="module")
def mariadb() -> Iterator[str]:
    """A server of these tests' own, as some set what holds for a whole server, or end its connections."""
    server = databases.MariaDB()
    yield server.url
    server.close()


@pytest.fixture(params=["postgresql", "pgbouncer", "mariadb"])
def url(request: pytest.FixtureRequest) -> str:
    """Of a database that no other process of the test run uses."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def harness(url: str) -> Iterator[Harness]:
    harness = Harness(url)
    yield harness
    harness.close()


@pytest.fixture
def store(harness: Harness) -> Iterator[SqlStore]:
    with closing(harness.open()) as store:
        yield store


def claimed(store: SqlStore, owner: str = "me") -> int:
    found = store.claim(KEY, owner=owner, lease=MINUTE, fingerprint=None, keep=MINUTE)
    assert isinstance(found, Claimed)
    return found.token


@contextmanager
def lasting(least: float, most: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert least <= time.monotonic() - began < most


def locked(connection: Connection, key: ClaimKey = KEY) -> None:
    """Holds the record in a transaction that goes on, as an operator's may."""
    held = connection.execute(
        text("select task from cloudq_claims where digest = :digest for update"), {"digest": key.digest("kit")}
    )
    assert held.scalar_one() == key.task


class TestLocks:
    """A row that somebody else's transaction holds."""

    def test_a_locked_record_is_in_progress(self, store: SqlStore, harness: Harness) -> None:
        """For whoever claims, after a bounded wait."""
        store.release(KEY, claimed(store))
        with harness.engine.connect() as connection, connection.begin():
            locked(connection)
            with lasting(LOCK_WAIT / 2, 4 * LOCK_WAIT + 20):
                found = store.claim(KEY, owner="other", lease=MINUTE, fingerprint=None, keep=MINUTE)
            assert isinstance(found, InProgress)
        assert claimed(store, "other")

    def test_what_its_owner_wants_fails_in_time(self, store: SqlStore, harness: Harness) -> None:
        """And can be wanted again."""
        token = claimed(store)
        calls: list[Callable[[], object]] = [
            lambda: store.renew(KEY, token, MINUTE),
            lambda: store.complete(KEY, token, result=None, keep=MINUTE),
            lambda: store.release(KEY, token),
            lambda: store.forget(KEY, force=True),
        ]
        with harness.engine.connect() as connection, connection.begin():
            locked(connection)
            for call in calls:
                with lasting(LOCK_WAIT / 2, 4 * LOCK_WAIT + 20), pytest.raises(StoreUnavailable, match="in the hands"):
                    call()
        assert store.renew(KEY, token, MINUTE)

    def test_a_sweep_leaves_what_is_locked(self, store: SqlStore, harness: Harness) -> None:
        """And takes the rest."""
        for key in (ClaimKey("t", "1"), KEY, ClaimKey("t", "2")):
            found = store.claim(key, owner="me", lease=MINUTE, fingerprint=None, keep=MINUTE)
            assert isinstance(found, Claimed)
            assert store.complete(key, found.token, result=None, keep=timedelta(0))
        with harness.engine.connect() as connection, connection.begin():
            locked(connection)
            assert store.sweep(10) == 2
        assert store.sweep(10) == 1


class TestCuts:
    """Servers that go; those that say nothing are `test_store_silence`'s."""

    def test_connections_that_were_cut_while_they_were_idle(self, store: SqlStore, harness: Harness, url: str) -> None:
        """By a restart, or by what stands before the server: the next call does not fail by it."""
        token = claimed(store)
        with harness.engine.connect() as connection:
            if "mysql" in url:
                ids = connection.execute(text("select id from information_schema.processlist where command = 'Sleep'"))
                mine = connection.execute(text("select connection_id()")).scalar_one()
                for (other,) in ids.all():
                    if other != mine:
                        connection.execute(text(f"kill {int(other)}"))
            else:
                connection.execute(
                    text(
                        "select pg_terminate_backend(pid) from pg_stat_activity "
                        "where datname = current_database() and pid <> pg_backend_pid() "
                        "and backend_type = 'client backend'"
                    )
                )
        assert store.renew(KEY, token, MINUTE)


class TestRoundTrips:
    """What a task costs: most of its time, where the server is elsewhere."""

    def test_a_claim_and_its_completion(self, harness: Harness, url: str) -> None:
        """One each, and one more on MariaDB, where a claim can't say what it found. Nothing before or after them."""
        most = 3 if "mysql" in url else 2
        with RoundTrips(make_url(url).port or 0) as between:
            through = make_url(url).set(port=between.port).render_as_string(hide_password=False)
            with closing(SqlStore(engine_of(parse_store_url(through), PATIENT), "kit")) as store:
                store.check()
                before = between.count
                for number in range(10):
                    key = ClaimKey("t", str(number))
                    found = store.claim(key, owner="me", lease=MINUTE, fingerprint=None, keep=MINUTE)
                    assert isinstance(found, Claimed)
                    assert store.complete(key, found.token, result=None, keep=MINUTE)
                assert between.count - before <= 10 * most + 1  # a connection is looked at now and then


class TestForks:
    """A child process."""

    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forking beside other tests' threads
    def test_a_child_has_connections_of_its_own(self, store: SqlStore) -> None:
        """Whose end, and whose calls, leave the parent's alone."""
        token = claimed(store)
        child = os.fork()
        if not child:
            try:
                done = all(store.renew(KEY, token, MINUTE) for _ in range(50))
                os._exit(0 if done else 1)
            except BaseException:
                os._exit(2)
        assert all(store.renew(KEY, token, MINUTE) for _ in range(50))
        assert os.waitpid(child, 0)[1] == 0
        assert store.complete(KEY, token, result=None, keep=MINUTE)


@pytest.mark.parametrize("level", LEVELS)
class TestIsolation:
    """Whatever level the user's transactions have, and whatever the server's own is."""

    def test_a_renewal_comes_between_in_a_users_transaction(
        self, store: SqlStore, harness: Harness, level: str
    ) -> None:
        """Which has its view of the database, does its work, and commits: neither waits for the other, or fails."""
        token = claimed(store)
        effect = text("insert into effects values ('done')")
        with harness.engine.connect().execution_options(isolation_level=level) as connection, connection.begin():
            assert connection.execute(text("select count(*) from effects")).scalar_one() == 0
            connection.execute(text("insert into effects values ('begun')"))
            assert store.renew(KEY, token, 2 * MINUTE)
            connection.execute(effect)
            assert store.renew(KEY, token, 3 * MINUTE)
        assert store.complete(KEY, token, result=None, keep=MINUTE)
        found = store.claim(KEY, owner="other", lease=MINUTE, fingerprint=None, keep=MINUTE)
        assert isinstance(found, Completed)
        with harness.engine.connect() as connection:
            assert connection.execute(text("select count(*) from effects")).scalar_one() == 2

    @pytest.mark.parametrize(
        "behaviour",
        [
            StoreConformance.test_of_many_that_claim_at_once_one_has_it,
            StoreConformance.test_many_keys_at_once_hold_each_other_up_in_nothing,
            StoreConformance.test_a_completion_whose_answer_was_lost_can_be_made_again,
        ],
        ids=["one key", "many keys", "completing"],
    )
    def test_claims_race_alike_on_servers_of_each_level(
        self, url: str, level: str, behaviour: Callable[[object, StoreBench], None]
    ) -> None:
        """Which a database's owner may have set for all its sessions."""
        with set_for_all(url, level):
            bench = StoreBench(Harness(url))
            try:
                behaviour(None, bench)
            finally:
                bench.close()


@pytest.mark.parametrize("level", LEVELS)
def test_mariadbs_sessions_lock_no_gaps(mariadb: str, level: str) -> None:
    """They read what is committed, whatever the default: else claims of different keys could wait in a circle."""
    with (
        set_for_all(mariadb, level),
        closing(Harness(mariadb)) as harness,
        closing(harness.open()) as store,
        store._engine.connect() as connection,
    ):
        assert connection.execute(text("select @@session.tx_isolation")).scalar_one() == "READ-COMMITTED"
        assert connection.execute(text("select @@session.innodb_lock_wait_timeout")).scalar_one() == LOCK_WAIT


@contextmanager
def set_for_all(url: str, level: str) -> Iterator[None]:
    """The level of sessions that begin from now on: of this database, or of the server where it can't be so few."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    name = make_url(url).database
    if engine.dialect.name == "postgresql":
        before = f"alter database {name} set default_transaction_isolation = '{level.lower()}'"
        after = f"alter database {name} reset default_transaction_isolation"
    else:
        before, after = (f"set global transaction isolation level {one}" for one in (level, "repeatable read"))
    with engine.connect() as connection:
        connection.execute(text(before))
    try:
        yield
    finally:
        with engine.connect() as connection:
            connection.execute(text(after))
        engine.dispose()


def opened(url: str) -> SqlStore:
    return open_url(parse_store_url(url), "app", PATIENT, SYSTEM_CLOCK)


class TestReadOnly:
    """A server that claims can't be written to is refused when it is opened, not when the first task runs."""

    def test_a_server_that_can_be_written_to_is_opened(self, url: str) -> None:
        """And nothing is said."""
        opened(url).close()

    def test_a_database_that_is_read_only(self, postgresql: str) -> None:
        """By its owner's setting."""
        engine = create_engine(postgresql, isolation_level="AUTOCOMMIT")
        name = make_url(postgresql).database
        with engine.connect() as connection:
            connection.execute(text(f"alter database {name} set default_transaction_read_only = on"))
            try:
                with pytest.raises(StoreRefused, match="allows no writes"):
                    opened(postgresql)
            finally:
                connection.execute(text("set default_transaction_read_only = off"))
                connection.execute(text(f"alter database {name} reset default_transaction_read_only"))
        engine.dispose()

    def test_a_standby(self, tmp_path: Path) -> None:
        """Of PostgreSQL: it answers, and takes no writes."""
        server = databases.PostgreSQL(standby=True)
        try:
            with pytest.raises(StoreRefused, match="is a standby"):
                opened(server.url)
        finally:
            server.close()

    def test_a_mariadb_that_is_read_only(self, mariadb: str) -> None:
        """Also for who may write all the same."""
        with _set_globally(mariadb, "read_only", "1", "0"), pytest.raises(StoreRefused, match="read_only"):
            opened(mariadb)

    def test_a_replica(self, mariadb: str) -> None:
        """Of MariaDB, whether it follows at the moment or not."""
        engine = create_engine(mariadb, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("change master to master_host = '127.0.0.1', master_user = 'nobody'"))
            try:
                with pytest.raises(StoreRefused, match="is a replica"):
                    opened(mariadb)
            finally:
                connection.execute(text("reset slave all"))
        engine.dispose()

    def test_one_that_becomes_read_only(self, postgresql: str) -> None:
        """After a fail-over, say: each call says so."""
        harness = Harness(postgresql)
        with closing(harness), closing(harness.open()) as store:
            token = claimed(store)
            with store._engine.connect() as connection:
                connection.execute(text("set default_transaction_read_only = on"))
            with pytest.raises(StoreRefused, match="25006"):
                store.renew(KEY, token, MINUTE)

    def test_what_is_wrong_with_a_connection_is_said(self, url: str) -> None:
        """As the server has it: PostgreSQL's drivers give no code for it. The password isn't among it."""
        other = make_url(url).set(username="nobody", password="hunter2")  # noqa: S106
        with pytest.raises((StoreRefused, StoreUnavailable)) as raised:
            opened(other.render_as_string(hide_password=False))
        assert re.search(r"nobody|authentication|1045|1698", str(raised.value))
        assert "hunter2" not in str(raised.value)


@contextmanager
def _set_globally(url: str, name: str, value: str, before: str) -> Iterator[None]:
    engine: Engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"set global {name} = {value}"))
        try:
            yield
        finally:
            connection.execute(text(f"set global {name} = {before}"))
    engine.dispose()
