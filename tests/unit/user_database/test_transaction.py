"""A task's transaction: however often and wherever it is cut off, its changes and its completion are one."""

# ruff: noqa: PT012, SIM117 - what is looked at is what becomes of a whole block
from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, String, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from cloudq.core.policy import DeadLetter
from cloudq.errors import TransactionAborted, TransactionBroken, TransactionRefused
from cloudq.testing import FakeClock
from cloudq.user_database import Dialect, Script, Statement, inbox, opened, run
from cloudq.user_database.tables import creating
from cloudq.user_database.transaction import AlreadyDone, Transactions, open_transaction
from tests.unit.user_database.conftest import effects, wait_for_a_lock
from tests.unit.user_database.interruptions import Interrupted, Interruption


class Base(DeclarativeBase):
    """Of the test's own."""


class Effect(Base):
    """A row of the table `effect`."""

    __tablename__ = "effect"
    name: Mapped[str] = mapped_column(String(100), primary_key=True)


INSERT = text("insert into effect (name) values (:name)")


def run_of(message: str = "m1", key: str | None = None, clock: FakeClock | None = None, **more: Any) -> Transactions:
    """One run of a message's task."""
    more = {"namespace": "app", "tasks": ("shop.pay",), "source": "web", **more}
    completion = inbox.Completion(message=message, key=key, **more)
    return Transactions(completion, clock or FakeClock(), timedelta(seconds=40))


@pytest.fixture
def user(engine: Engine) -> Engine:
    """The user's database with an empty inbox."""
    with engine.begin() as connection:
        connection.execute(text("drop table if exists cloudq_inbox"))
    with engine.connect() as connection:
        run(opened(connection), creating([inbox.TABLE], opened(connection).dialect))
        connection.commit()
    return engine


def completed(engine: Engine) -> list[str]:
    """The messages in the inbox."""
    with engine.connect() as connection:
        return [str(row[0]) for row in connection.execute(text("select message from cloudq_inbox order by message"))]


def pay(connection: Connection, transactions: Transactions, name: str = "a") -> None:
    """The task."""
    with transactions.open(connection) as given:
        assert given is connection
        given.execute(INSERT, {"name": name})


class TestOnce:
    def test_the_effect_and_its_completion_are_committed(self, user: Engine) -> None:
        """Together."""
        with user.connect() as connection:
            pay(connection, run_of())
            assert not connection.in_transaction()
        assert (effects(user), completed(user)) == (["a"], ["m1"])

    def test_another_delivery_of_the_message_does_nothing(self, user: Engine) -> None:
        """It is told before its block is run, and the handler ends."""
        with user.connect() as connection:
            pay(connection, run_of())
            again = run_of()
            with pytest.raises(AlreadyDone):
                again.open(connection).__enter__()
            assert again.already_done
            assert not connection.in_transaction()
        assert (effects(user), completed(user)) == (["a"], ["m1"])

    def test_one_that_runs_beside_it_is_rolled_back(self, user: Engine) -> None:
        """Both looked before either was done: the second one's insertion tells."""
        if user.dialect.name == "sqlite":
            pytest.skip("only one transaction at a time changes a file")
        with user.connect() as first, user.connect() as second:
            one, other = run_of(), run_of()
            with pytest.raises(AlreadyDone), other.open(second):
                second.execute(INSERT, {"name": "b"})
                pay(first, one)
            assert other.already_done
            assert not one.already_done
        assert (effects(user), completed(user)) == (["a"], ["m1"])

    def test_of_several_at_once_one_is_committed(self, user: Engine) -> None:
        """All are in their blocks before the first ends: the insertions of the others wait for its commit."""
        if user.dialect.name == "sqlite":
            pytest.skip("only one transaction at a time changes a file")
        ends: list[str] = []
        all_there = threading.Barrier(4, timeout=60)

        def deliver(name: str) -> None:
            with user.connect() as connection, suppress(AlreadyDone):
                with run_of().open(connection):
                    connection.execute(INSERT, {"name": name})
                    all_there.wait()
                ends.append(name)

        threads = [threading.Thread(target=deliver, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(ends) == 1
        assert (effects(user), completed(user)) == (ends, ["m1"])

    def test_keys_tell_what_is_the_same_work(self, user: Engine) -> None:
        """The namespace, the task and the key, or without one the message and its source."""
        different = [
            run_of("m1"),
            run_of("m2"),
            run_of("m1", source="other"),
            run_of("m1", namespace="staging"),
            run_of("m1", tasks=("shop.refund",)),
            run_of("m1", key="order-1"),
            run_of("m1", key="web m1"),
            run_of("m1", key="order-1", namespace="staging"),
            run_of("m1", key="order-1", tasks=("shop.refund",)),
            run_of("m1", key="ORDER-1"),
            run_of("m1", key="order-1 "),
            run_of("m1", key="é\ud800"),
            run_of("m1", key="nul \0"),
            run_of("m1", key="long" * 100_000),
        ]
        with user.connect() as connection:
            for number, transactions in enumerate(different):
                pay(connection, transactions, f"{number:02}")
            with pytest.raises(AlreadyDone):
                pay(connection, run_of("m3", key="order-1", source="other"), "again")
        assert len(effects(user)) == len(different)

    def test_a_keyed_task_is_known_by_its_old_names(self, user: Engine) -> None:
        """In a rolling deploy, whichever of the workers is first."""
        old, new = {"tasks": ("pay",)}, {"tasks": ("shop.pay", "pay")}
        with user.connect() as connection:
            for key, first, second in (("1", old, new), ("2", new, old), ("3", new, new)):
                pay(connection, run_of("m1", key=key, **first), f"first {key}")  # type: ignore[arg-type]
                with pytest.raises(AlreadyDone):
                    pay(connection, run_of("m2", key=key, **second), f"second {key}")  # type: ignore[arg-type]
        assert effects(user) == ["first 1", "first 2", "first 3"]

    def test_a_failed_task_leaves_nothing(self, user: Engine) -> None:
        """And its next run succeeds: also within the same run, if the task tries again."""
        transactions = run_of()
        with user.connect() as connection:
            with pytest.raises(LookupError), transactions.open(connection):
                connection.execute(INSERT, {"name": "a"})
                raise LookupError
            assert not connection.in_transaction()
            assert (effects(user), completed(user)) == ([], [])
            pay(connection, transactions)
        assert (effects(user), completed(user)) == (["a"], ["m1"])

    def test_the_answer_to_a_commit_is_lost(self, user: Engine) -> None:
        """The delivery fails, and the next one learns what became of it."""

        def lose(_: Connection) -> None:
            raise OSError("the connection was cut")

        lossy = create_engine(user.url)
        event.listen(lossy, "commit", lambda connection: connection.connection.dbapi_connection.commit())
        event.listen(lossy, "commit", lose)
        with lossy.connect() as connection, pytest.raises(OSError, match="cut"):
            pay(connection, run_of())
        lossy.dispose()
        with user.connect() as connection, pytest.raises(AlreadyDone):
            pay(connection, run_of(), "b")
        assert effects(user) == ["a"]


class TestOwnership:
    def test_one_that_is_open_is_refused(self, user: Engine) -> None:
        """Before anything is done."""
        with user.connect() as connection:
            connection.execute(text("select 1"))
            with pytest.raises(TransactionRefused, match="open on this connection already"):
                pay(connection, run_of())

    def test_a_second_one_is_refused(self, user: Engine) -> None:
        """While the first is open, and once it is committed: its completion would say that the rest is done, too."""
        transactions = run_of()
        with user.connect() as connection, user.connect() as other:
            with transactions.open(connection):
                with pytest.raises(TransactionRefused, match="of this task is open"):
                    transactions.open(other).__enter__()
            with pytest.raises(TransactionRefused, match="has committed its transaction"):
                transactions.open(other).__enter__()

    def test_without_its_table_it_is_refused(self, engine: Engine) -> None:
        """The hint says how to make it."""
        with engine.begin() as connection:
            connection.execute(text("drop table if exists cloudq_inbox"))
        with engine.connect() as connection:
            with pytest.raises(TransactionRefused, match="create_inbox"):
                pay(connection, run_of())
            assert not connection.in_transaction()

    @pytest.mark.parametrize("end", ["commit", "rollback"])
    def test_an_end_within_the_block_is_found(self, user: Engine, end: str) -> None:
        """What follows it is another transaction, which is undone."""
        with user.connect() as connection:
            with pytest.raises(TransactionBroken, match="ended within its block"):
                with run_of().open(connection):
                    connection.execute(INSERT, {"name": "before"})
                    getattr(connection, end)()
                    connection.execute(INSERT, {"name": "after"})
            assert not connection.in_transaction()
        assert effects(user) == (["before"] if end == "commit" else [])
        assert completed(user) == []

    def test_an_end_by_a_statement_is_found(self, user: Engine) -> None:
        """Which no library sees."""
        with user.connect() as connection, pytest.raises(TransactionBroken, match="ended within its block"):
            with run_of().open(connection):
                connection.execute(INSERT, {"name": "before"})
                connection.exec_driver_sql("commit")
                connection.execute(INSERT, {"name": "after"})
        assert (effects(user), completed(user)) == (["before"], [])

    def test_savepoints_of_the_tasks_own(self, user: Engine) -> None:
        """Undo their part alone, with the errors that were met there."""
        with user.connect() as connection, run_of().open(connection):
            connection.execute(INSERT, {"name": "a"})
            with suppress(DBAPIError), connection.begin_nested():
                connection.execute(INSERT, {"name": "b"})
                connection.execute(INSERT, {"name": "a"})
            connection.begin_nested()  # left open
            connection.execute(INSERT, {"name": "c"})
        assert (effects(user), completed(user)) == (["a", "c"], ["m1"])

    def test_a_swallowed_error_without_a_savepoint(self, user: Engine) -> None:
        """On PostgreSQL it has undone everything, and the run fails; elsewhere it undid its own statement."""
        with user.connect() as connection:
            with suppress(DBAPIError), run_of().open(connection):
                connection.execute(INSERT, {"name": "a"})
                with suppress(DBAPIError):
                    connection.execute(INSERT, {"name": "a"})
            assert not connection.in_transaction()
        kept = [] if user.dialect.name == "postgresql" else ["a"]
        assert len(completed(user)) == len(kept)
        assert effects(user) == kept

    def test_a_session_is_flushed_first(self, user: Engine) -> None:
        """What it keeps to itself is before the completion; what fails then leaves nothing."""
        with Session(user) as session:
            with run_of("m1").open(session) as given:
                given.add(Effect(name="a"))
            with pytest.raises(DBAPIError), run_of("m2").open(session) as given:
                given.add(Effect(name="a"))
            with pytest.raises(TransactionBroken), run_of("m3").open(session) as given:
                given.add(Effect(name="b"))
                given.commit()
                given.add(Effect(name="c"))
        assert (effects(user), completed(user)) == (["a", "b"], ["m1"])

    def test_what_a_sessions_hooks_write_and_send_is_part_of_it(self, user: Engine) -> None:
        """While it is flushed the transaction is still the one that a send joins."""
        seen = []
        with Session(user) as session:
            event.listen(session, "after_flush", lambda *_: seen.append(open_transaction()))
            transaction = run_of("m1").open(session)
            with transaction as given:
                given.add(Effect(name="a"))
        assert seen == [transaction]

    def test_the_connection_is_lost_within_the_block(self, user: Engine) -> None:
        """An ordinary error: the server undoes everything."""
        with user.connect() as connection:
            with pytest.raises((DBAPIError, sqlite3.ProgrammingError)), run_of().open(connection):
                connection.execute(INSERT, {"name": "a"})
                connection.connection.dbapi_connection.close()  # type: ignore[union-attr]
            connection.invalidate()
        assert (effects(user), completed(user)) == ([], [])


class TestOfOthers:
    @pytest.fixture
    def server(self, user: Engine) -> Engine:
        """A database in which two write at once."""
        if user.dialect.name == "sqlite":
            pytest.skip("only one transaction at a time changes a file")
        with user.begin() as connection:
            for name in ("x", "y"):
                connection.execute(INSERT, {"name": name})
        return user

    def deadlock(self, engine: Engine, victim: Callable[[Connection, Callable[[], None]], None]) -> None:
        """Runs `victim(connection, lock)`, whose `lock()` fails by a deadlock: the other one has waited for longer."""
        update = "update effect set note = 'a' where name = :name"
        with engine.connect() as mine, engine.connect() as theirs:
            if engine.dialect.name == "postgresql":  # the one that notices is given up, so it isn't to be the other
                theirs.execute(text("set deadlock_timeout = '1h'"))
                theirs.commit()
            other = threading.Thread(target=lambda: theirs.execute(text(update), {"name": "x"}))

            def lock() -> None:
                theirs.execute(text(update), {"name": "y"})
                mine.execute(text(update), {"name": "x"})
                if engine.dialect.name == "mysql":  # the one that changed less is given up
                    theirs.execute(INSERT, [{"name": f"weight {number}"} for number in range(20)])
                other.start()
                wait_for_a_lock(engine)
                mine.execute(text(update), {"name": "y"})

            try:
                victim(mine, lock)
            finally:
                mine.rollback()
                other.join(60)
                theirs.rollback()

    def test_a_deadlock_is_no_failure_of_the_task(self, server: Engine) -> None:
        """It says so, whatever the task made of the error."""

        class Own(Exception):
            """The task's."""

        def victim(connection: Connection, lock: Callable[[], None]) -> None:
            with pytest.raises(TransactionAborted), run_of().open(connection):
                try:
                    lock()
                except DBAPIError as error:
                    raise Own from error

        self.deadlock(server, victim)
        assert completed(server) == []

    def test_what_the_task_decides_stands(self, server: Engine) -> None:
        """`Retry` and `DeadLetter` say what becomes of the message."""

        def victim(connection: Connection, lock: Callable[[], None]) -> None:
            with pytest.raises(DeadLetter), run_of().open(connection):
                try:
                    lock()
                except DBAPIError as error:
                    raise DeadLetter("enough") from error

        self.deadlock(server, victim)

    def test_a_swallowed_deadlock_commits_nothing(self, server: Engine) -> None:
        """The database has undone what was before it: MariaDB goes on in another transaction."""

        def victim(connection: Connection, lock: Callable[[], None]) -> None:
            with pytest.raises((TransactionBroken, DBAPIError)), run_of().open(connection):
                connection.execute(INSERT, {"name": "before"})
                with suppress(DBAPIError):
                    lock()
                if server.dialect.name == "mysql":
                    connection.execute(INSERT, {"name": "after"})

        self.deadlock(server, victim)
        assert (effects(server), completed(server)) == (["x", "y"], [])

    def test_a_change_in_between(self, server: Engine) -> None:
        """Under a snapshot the row that was read has changed."""
        level = {"isolation_level": "REPEATABLE READ"}
        change = text("update effect set note = 'a' where name = 'x'")
        with server.connect() as raw, server.connect() as other:
            connection = raw.execution_options(**level)
            if server.dialect.name == "mysql":
                connection.execute(text("set innodb_snapshot_isolation = on"))
                connection.commit()
            with pytest.raises(TransactionAborted), run_of().open(connection):
                connection.execute(text("select note from effect")).all()
                other.execute(change)
                other.commit()
                connection.execute(text("update effect set note = 'b' where name = 'x'"))

    @pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
    def test_different_keys_are_not_in_each_others_way(self, server: Engine, level: str) -> None:
        """The look locks nothing, and conflicts with no insertion, at any level."""
        with server.connect() as one, server.connect() as other:
            one.execution_options(isolation_level=level)
            other.execution_options(isolation_level=level)
            with run_of("m1").open(one), run_of("m2").open(other):
                one.execute(INSERT, {"name": "a"})
                other.execute(INSERT, {"name": "b"})
        assert completed(server) == ["m1", "m2"]

    @pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
    def test_the_same_key_is_done_once_at_any_level(self, server: Engine, level: str) -> None:
        """The second one is done, or tried again: never committed."""
        with server.connect() as one, server.connect() as other:
            one.execution_options(isolation_level=level)
            other.execution_options(isolation_level=level)
            with pytest.raises((AlreadyDone, TransactionAborted)), run_of("m1").open(one):
                one.execute(INSERT, {"name": "a"})
                pay(other, run_of("m1"), "b")
        assert completed(server) == ["m1"]
        assert effects(server) == ["b", "x", "y"]


class TestOfSQLite:
    def test_the_file_of_a_queue_is_refused(self, tmp_path: Any) -> None:
        """Its tables are cloudq's own, and its settings too."""
        from cloudq import App

        app = App(f"sqlite:///{tmp_path / 'cloudq.db'}")
        app.send("a.task")
        app.close()
        with closing(sqlite3.connect(tmp_path / "cloudq.db")) as connection:
            with pytest.raises(TransactionRefused, match="cloudq's own queue"):
                run_of().open(connection).__enter__()
            assert not connection.in_transaction

    def test_the_files_own_settings_are_left_alone(self, tmp_path: Any) -> None:
        """Its journal and its synchronisation are the user's."""
        with closing(sqlite3.connect(tmp_path / "user.db")) as connection:
            connection.execute("create table effect (name text)")
            run(opened(connection), creating([inbox.TABLE], Dialect.SQLITE))
            before = [connection.execute(f"pragma {name}").fetchone() for name in ("journal_mode", "synchronous")]
            with run_of().open(connection):
                connection.execute("insert into effect values ('a')")
            after = [connection.execute(f"pragma {name}").fetchone() for name in ("journal_mode", "synchronous")]
        assert before == after
        assert before[0] == ("delete",)

    def test_a_file_in_use_is_waited_for(self, tmp_path: Any) -> None:
        """For as long as the user's connection waits; then the delivery is tried again."""
        with (
            closing(sqlite3.connect(tmp_path / "user.db")) as first,
            closing(sqlite3.connect(tmp_path / "user.db", timeout=0)) as second,
        ):
            run(opened(first), creating([inbox.TABLE], Dialect.SQLITE))
            with run_of().open(first), pytest.raises(TransactionAborted):
                run_of("m2").open(second).__enter__()


class TestOfMySQL:
    @pytest.fixture
    def mysql(self, user: Engine) -> Engine:
        if user.dialect.name != "mysql":
            pytest.skip("of MariaDB and MySQL")
        return user

    def test_a_table_without_transactions_is_found(self, mysql: Engine) -> None:
        """What was written there stays, so the run isn't repeated."""
        with mysql.begin() as connection:
            connection.execute(text("drop table if exists plain"))
            connection.execute(text("create table plain (name varchar(10)) engine = MyISAM"))
        with mysql.connect() as connection:
            with pytest.raises(TransactionBroken, match="knows no transactions"), run_of().open(connection):
                connection.execute(INSERT, {"name": "a"})
                connection.execute(text("insert into plain values ('a')"))
            with run_of("m2").open(connection):  # only read
                connection.execute(text("select * from plain")).all()
        assert (effects(mysql), completed(mysql)) == ([], ["m2"])

    def test_an_inbox_without_transactions_is_refused(self, mysql: Engine) -> None:
        """Its rows would stay whatever becomes of the rest."""
        with mysql.begin() as connection:
            connection.execute(text("alter table cloudq_inbox engine = MyISAM"))
        with mysql.connect() as connection, pytest.raises(TransactionRefused, match="MyISAM"):
            pay(connection, run_of())

    def test_a_table_that_is_made_within_the_block(self, mysql: Engine) -> None:
        """Commits what was before it."""
        with mysql.connect() as connection, pytest.raises(TransactionBroken), run_of().open(connection):
            connection.execute(INSERT, {"name": "a"})
            connection.execute(text("create or replace table made (name varchar(10))"))
        assert (effects(mysql), completed(mysql)) == (["a"], [])


class TestAsync:
    def test_commit_cancellation_and_a_second_delivery(self, user: Engine) -> None:
        """As a sync one's."""
        pytest.importorskip("greenlet")
        drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}
        if user.dialect.name not in drivers:
            pytest.skip("no async driver for it is among the tests' packages")
        if user.dialect.name == "sqlite":
            pytest.importorskip("aiosqlite")

        async def all_of_it() -> None:
            own = create_async_engine(user.url.set(drivername=drivers[user.dialect.name]))
            async with own.connect() as connection:
                reached = asyncio.Event()

                async def wait_within() -> None:
                    async with run_of().open(connection):
                        await connection.execute(INSERT, {"name": "cancelled"})
                        reached.set()
                        await asyncio.Event().wait()

                task = asyncio.ensure_future(wait_within())
                await reached.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert not connection.in_transaction()

                called = []

                async def later() -> None:
                    called.append(connection.in_transaction())

                transaction = run_of().open(connection)
                async with transaction as given:
                    assert given is connection
                    assert open_transaction() is transaction
                    await given.execute(INSERT, {"name": "a"})
                    transaction.after_commit.append(later)
                assert called == [False]
                assert open_transaction() is None
                with pytest.raises(AlreadyDone):
                    async with run_of().open(connection):
                        await connection.execute(INSERT, {"name": "b"})
                with pytest.raises(TransactionRefused, match="async with"):
                    run_of("m2").open(connection).__enter__()
            await own.dispose()

        asyncio.run(all_of_it())
        assert (effects(user), completed(user)) == (["a"], ["m1"])

    def test_cancelled_while_it_waits_for_another_delivery(self, postgresql: str) -> None:
        """The insertion of the same message waits for the first one's end: cancelled there, it leaves nothing."""
        psycopg = pytest.importorskip("psycopg")
        url = create_engine(postgresql).url

        async def connect() -> Any:
            return await psycopg.AsyncConnection.connect(
                host=url.host, port=url.port, user=url.username, dbname=url.database
            )

        async def all_of_it() -> None:
            first, second, third = [await connect() for _ in range(3)]
            await first.execute("drop table if exists cloudq_inbox")
            for statement in inbox.TABLE.statements[Dialect.POSTGRESQL]:
                await first.execute(statement)
            await first.commit()

            async def deliver(connection: Any) -> None:
                async with run_of("same").open(connection):
                    pass

            held = run_of("same").open(first)
            await held.__aenter__()
            insertion = inbox.insertion(run_of("same").completion, Dialect.POSTGRESQL)
            await held.database.ado(insertion)
            waiting = asyncio.ensure_future(deliver(second))
            blocked = (
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%cloudq_inbox%'"
            )
            while (await (await third.execute(blocked)).fetchone())[0] == 0:
                await third.rollback()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert int(second.info.transaction_status) == 0
            await first.rollback()
            await deliver(second)
            with pytest.raises(AlreadyDone):
                await deliver(first)
            for connection in (first, second, third):
                await connection.close()

        asyncio.run(asyncio.wait_for(all_of_it(), 60))

    def test_a_coroutine_that_is_closed_commits_nothing(self, postgresql: str) -> None:
        """As the garbage collector does with one that is abandoned: nothing can be awaited then."""
        psycopg = pytest.importorskip("psycopg")
        url = create_engine(postgresql).url

        async def all_of_it() -> None:
            connection = await psycopg.AsyncConnection.connect(
                host=url.host, port=url.port, user=url.username, dbname=url.database
            )
            for statement in inbox.TABLE.statements[Dialect.POSTGRESQL]:
                await connection.execute(statement)
            await connection.commit()

            async def within() -> None:
                async with run_of("closed").open(connection):
                    await asyncio.sleep(0)

            coroutine = within()
            pending = coroutine.send(None)
            while not _is_bare_yield(pending):
                await _settled(pending)
                pending = coroutine.send(None)
            coroutine.close()
            await connection.rollback()
            found = await connection.execute("select message from cloudq_inbox where message = 'closed'")
            assert await found.fetchall() == []
            await connection.close()

        asyncio.run(all_of_it())


def _is_bare_yield(pending: Any) -> bool:
    """Whether a coroutine that is driven by hand stands at `sleep(0)`."""
    return pending is None


async def _settled(future: Any) -> None:
    """Waits for what a coroutine that is driven by hand waits for."""
    future._asyncio_future_blocking = False
    with suppress(BaseException):
        await asyncio.wait([future])


class TestInterrupted:
    """A time limit is raised between any two instructions."""

    def test_wherever_it_is_interrupted_all_or_nothing_is_kept(self, tmp_path: Any) -> None:
        """And nothing stays begun, but for the first instructions of its end alone."""
        path = tmp_path / "user.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("create table effect (name text)")
            run(opened(connection), creating([inbox.TABLE], Dialect.SQLITE))
            connection.commit()
            committed = begun = 0
            for line in range(1, 400):
                transactions = run_of(f"m{line}")
                with Interruption(line, "transaction", "statements") as interruption, suppress(Interrupted):
                    with transactions.open(connection):
                        connection.execute("insert into effect values (?)", [f"m{line}"])
                interruption.stop()
                begun += connection.in_transaction
                connection.rollback()
                rows = connection.execute("select count(*) from effect where name = ?", [f"m{line}"]).fetchone()
                known = connection.execute("select count(*) from cloudq_inbox where message = ?", [f"m{line}"])
                assert rows == known.fetchone(), line
                committed += rows[0]
                if not interruption.hit:
                    break
        assert not interruption.hit
        assert line > 60
        assert committed >= 1
        assert begun <= 3


class TestRest:
    def test_what_else_is_written_comes_before_the_completion(self, user: Engine) -> None:
        """The outbox: in the same transaction, undone with it."""

        def more(name: str) -> Callable[[], Script[None]]:
            def script() -> Script[None]:
                assert open_transaction() is None
                yield Statement("insert into effect (name) values (:name)", {"name": name})

            return script

        called: list[str] = []
        with user.connect() as connection:
            for message, name in (("m1", "a"), ("m1", "b")):
                transaction = run_of(message).open(connection)
                with suppress(AlreadyDone), transaction:
                    transaction.before_completion.append(more(name))
                    transaction.after_commit.append(lambda name=name: called.append(name))  # type: ignore[misc]
        assert (effects(user), called) == (["a"], ["a"])

    def test_the_open_one_is_known_in_its_block_alone(self, user: Engine) -> None:
        """Not before, not after, and not once it failed."""
        with user.connect() as connection:
            assert open_transaction() is None
            with suppress(LookupError), run_of().open(connection):
                assert open_transaction() is not None
                raise LookupError
            assert open_transaction() is None

    def test_a_long_one_is_warned_about(self, user: Engine, caplog: pytest.LogCaptureFixture) -> None:
        """It was open for more than a third of a lease."""
        clock = FakeClock()
        with user.connect() as connection, caplog.at_level(logging.WARNING):
            for message, took in (("m1", 39), ("m2", 41)):
                with run_of(message, clock=clock).open(connection):
                    clock.advance(timedelta(seconds=took))
        [record] = caplog.records
        assert "more than a third of its lease" in record.getMessage()
        assert "41" in record.getMessage()

    def test_old_rows_are_swept_in_bounded_batches(self, user: Engine) -> None:
        """Those whose time is over, the oldest first; the work could then be done again."""
        with user.connect() as connection:
            for number in range(5):
                pay(connection, run_of(f"old {number}", keep=timedelta(0)), f"old {number}")
            pay(connection, run_of("kept"), "kept")
            database = opened(connection)
            swept = []
            for _ in range(3):
                swept.append(run(database, inbox.sweeping(3, database.dialect)))
                connection.commit()
        assert swept == [3, 2, 0]
        assert completed(user) == ["kept"]

    def test_a_rollback_that_fails_hides_nothing(self, user: Engine) -> None:
        """The error that led there is what the task's end is about."""
        broken = create_engine(user.url)

        def fail(_: Connection) -> None:
            raise OperationalError("rollback", {}, Exception("gone"))

        event.listen(broken, "rollback", fail)
        with suppress(OperationalError), broken.connect() as connection:
            with pytest.raises(LookupError), run_of().open(connection):
                raise LookupError
        broken.dispose()
