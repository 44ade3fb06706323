"""Connections, language and time zone around the runs of tasks, by a worker of the test's own process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import cloudq
from cloudq.core.message import Message
from cloudq.core.outcome import Acked
from cloudq.integrations.django import surroundings
from cloudq.integrations.django.atomic import hold_sends
from cloudq.integrations.django.held import failures
from cloudq.testing import in_memory, run_all
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings


@pytest.fixture
def app(databases: Any, tmp_path: Path) -> Iterator[cloudq.App]:
    """On a file, in Django's surroundings."""
    app = cloudq.App(f"sqlite:///{tmp_path}/q.db")
    surroundings.prepare(app)
    yield app
    app.close()


def work(app: cloudq.App) -> None:
    """A worker until nothing is left, in a thread of its own: the test's connections stay what they are."""
    settings = WorkerSettings(queues={"default": 1}, concurrency=1, burst=True, wait=timedelta(0))
    thread = threading.Thread(target=Worker(app, settings).run)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


class TestConnections:
    def test_they_are_closed_by_age_around_a_run(self, app, databases):
        """On the thread that used them: with `CONN_MAX_AGE` 0, as it is by default, none is open after a task."""
        seen: list[Any] = []

        @app.task("query")
        def query() -> None:
            connection = databases["one"]
            seen.append(connection.connection)  # before its first query
            with connection.cursor() as cursor:
                cursor.execute("select 1")
            seen.append(connection)

        app.send("query")
        app.send("query")
        work(app)
        assert [None, None] == [seen[0], seen[2]]
        assert [None, None] == [seen[1].connection, seen[3].connection]

    def test_one_that_has_become_too_old_is_closed_before_a_run(self, databases):
        """Its age is over while the thread had nothing to do."""
        with databases["one"].cursor() as cursor:
            cursor.execute("select 1")
        databases["one"].close_at = 0
        run = surroundings.around(cloudq.Context(Message(id="1", task="t", queue="q")))
        next(run)
        assert databases["one"].connection is None
        run.close()

    def test_one_that_may_live_on_stays(self, app, databases):
        """`CONN_MAX_AGE` None: the next task has the same one."""
        databases.settings["one"]["CONN_MAX_AGE"] = None
        seen: list[Any] = []

        @app.task("query")
        def query() -> None:
            with databases["one"].cursor() as cursor:
                cursor.execute("select 1")
            seen.append(databases["one"].connection)
            if len(seen) == 2:
                databases["one"].close()

        app.send("query")
        app.send("query")
        work(app)
        assert seen[0] is seen[1] is not None

    def test_an_async_task_has_its_own_closed(self, app, databases):
        """They are those of the thread that its ORM calls run in, which all async tasks share."""
        from asgiref.sync import sync_to_async

        seen: list[Any] = []

        def query() -> None:
            seen.append(databases["one"].connection)
            with databases["one"].cursor() as cursor:
                cursor.execute("select 1")
            seen.append(databases["one"])

        @app.task("aquery")
        async def aquery() -> None:
            await sync_to_async(query)()

        app.send("aquery")
        app.send("aquery")
        work(app)
        # What closes them is done behind the last task; this call comes after it.
        asyncio.run(sync_to_async(lambda: None)())
        assert [None, None] == [seen[0], seen[2]]
        assert seen[1].connection is None

    def test_never_in_tests(self, app, databases):
        """In eager mode and with `run_all` a task uses its caller's connection, which has to stay."""
        with databases["one"].cursor() as cursor:
            cursor.execute("select 1")
        before = databases["one"].connection
        app.task("query")(lambda: None)
        with app.eager():
            app.send("query")
        with in_memory(app):
            app.send("query")
            run_all(app)
        assert before is databases["one"].connection is not None


class TestTransactionsLeftOpen:
    @pytest.fixture
    def write(self, app, databases) -> None:
        """The task that runs next on the same thread, whose connection may live on."""
        databases.settings["one"]["CONN_MAX_AGE"] = None

        @app.task("write")
        def write() -> None:
            with databases["one"].cursor() as cursor:
                cursor.execute("insert into effect values ('written')")

        @app.task("end")
        def end() -> None:
            databases["one"].close()

    def work_after(self, app: cloudq.App, first: str) -> None:
        for name in (first, "write", "end"):
            app.send(name)
        work(app)

    def test_what_later_tasks_write_is_committed(self, app, databases, write, caplog):
        """Django would have it be part of the open transaction, and so of none that is ever committed."""
        from django.db import transaction

        @app.task("leave")
        def leave() -> None:
            transaction.atomic(using="one").__enter__()
            with databases["one"].cursor() as cursor:
                cursor.execute("insert into effect values ('left')")

        self.work_after(app, "leave")
        assert ["written"] == effects(databases)
        assert ["a task left its transaction in database 'one' open: it is rolled back"] == [
            record.getMessage() for record in caplog.records if record.name == "cloudq.django"
        ]

    def test_nor_are_they_part_of_one_that_a_time_limit_has_cut(self, app, databases, write):
        """It may strike between the database's `begin` and Django's own note of it."""

        @app.task("cut", retry=cloudq.RetryPolicy(retry=lambda _: False))
        def cut() -> None:
            databases["one"].ensure_connection()
            databases["one"].connection.execute("begin")
            raise cloudq.TimeLimitExceeded

        self.work_after(app, "cut")
        assert ["written"] == effects(databases)

    def test_what_such_a_one_has_held_is_named(self, app, databases, write, caplog, monkeypatch):
        """The limit strikes behind the database's commit, before Django runs what waits for it."""
        from django.db import transaction

        hold_sends(app)
        sent: list[str] = []

        @app.task("cut", retry=cloudq.RetryPolicy(retry=lambda _: False))
        def cut() -> None:
            connection = databases["one"]
            commit = connection._commit

            def cut_commit() -> None:
                commit()
                raise cloudq.TimeLimitExceeded

            connection._commit = cut_commit
            with transaction.atomic(using="one"):
                sent.append(app.send("write").id)

        before = failures.count
        self.work_after(app, "cut")
        assert (before + 1, ["written"]) == (failures.count, effects(databases))
        (said,) = [record.getMessage() for record in caplog.records if record.name == "cloudq.django"]
        assert f"write {sent[0]} for queue default wasn't sent: a time limit" in said
        assert "if that was committed it is lost" in said

    def test_that_of_a_test_which_calls_an_edge_stays(self, databases):
        """It was open before the run."""
        from django.db import transaction

        with transaction.atomic(using="one"):
            connection = databases["one"]
            run = surroundings.around(cloudq.Context(Message(id="1", task="t", queue="q")))
            next(run)
            run.close()
            assert connection is databases["one"]
            assert connection.in_atomic_block


class TestDriversErrors:
    def test_one_in_closing_fails_no_task_that_is_done(self, app, databases, caplog):
        """It would run again for it."""
        ran: list[int] = []

        def gone() -> None:
            raise OSError("gone away")

        @app.task("done")
        def done() -> None:
            ran.append(1)
            databases["one"].close_if_unusable_or_obsolete = gone

        app.send("done")
        work(app)
        assert [1] == ran
        assert "old connections couldn't be closed: gone away" in caplog.text


def effects(databases: Any) -> list[str]:
    """What is committed, as another connection sees it."""
    with databases["one"].cursor() as cursor:
        cursor.execute("select name from effect")
        return [name for (name,) in cursor.fetchall()]


class TestLanguage:
    @pytest.fixture
    def seen(self, app) -> list[tuple[str | None, str]]:
        """What each run of the task `look` finds; then it leaves another language and time zone active."""
        from django.utils import timezone, translation

        seen: list[tuple[str | None, str]] = []

        @app.task("look")
        def look() -> None:
            seen.append((translation.get_language(), str(timezone.get_current_timezone())))
            translation.activate("fr")
            timezone.activate("Asia/Tokyo")

        return seen

    def test_each_task_has_the_settings_own(self, app, seen):
        """Whatever the one before it on this thread has activated."""
        app.send("look")
        app.send("look")
        work(app)
        assert [("en-us", "America/Chicago")] * 2 == seen

    def test_the_senders_are_carried_on_request(self, app, seen):
        """`CARRY_LANGUAGE`: what is active at the send; the next message has its own sender's."""
        from django.test import override_settings
        from django.utils import timezone, translation

        with override_settings(CLOUDQ={"DATABASE": "one", "CARRY_LANGUAGE": True}):
            surroundings.prepare(app)
            with translation.override("de"), timezone.override("Europe/Berlin"):
                app.send("look")
            app.send("look")
            app.send("look", headers={surroundings.LANGUAGE: "x" * 500, surroundings.TIME_ZONE: "../../etc/passwd"})
            work(app)
        assert [("de", "Europe/Berlin"), ("en-us", "America/Chicago"), ("en-us", "America/Chicago")] == seen

    def test_an_async_task_has_it_in_its_orm_calls_too(self, app):
        """What is active in the task is active where `sync_to_async` runs its calls."""
        from asgiref.sync import sync_to_async
        from django.test import override_settings
        from django.utils import translation

        seen: list[str | None] = []

        @app.task("alook")
        async def alook() -> None:
            seen.append(translation.get_language())
            seen.append(await sync_to_async(translation.get_language)())

        with override_settings(CLOUDQ={"DATABASE": "one", "CARRY_LANGUAGE": True}):
            surroundings.prepare(app)
            with translation.override("de"):
                app.send("alook")
            app.send("alook")
            work(app)
        assert ["de", "de", "en-us", "en-us"] == seen

    def test_nothing_is_carried_unasked(self, app, seen):
        """And what a message carries has no effect then."""
        app.send("look", headers={surroundings.LANGUAGE: "de", surroundings.TIME_ZONE: "Europe/Berlin"})
        work(app)
        assert [("en-us", "America/Chicago")] == seen


def test_an_outcome_goes_through(app):
    """It is middleware that changes none."""
    run = surroundings.around(cloudq.Context(Message(id="1", task="t", queue="q")))
    next(run)
    with pytest.raises(StopIteration) as stop:
        run.send(Acked())
    assert Acked() == stop.value.value
