"""Sends within Django's `atomic()`, by its real transactions on two databases."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

import cloudq
from cloudq.errors import BackendUnavailable, OptionError, PayloadError, UnsupportedError
from cloudq.integrations.django import atomic as module
from cloudq.testing import in_memory, run_all

OUTBOX = ["tests.projects.django_site.shop", "cloudq.integrations.django.outbox"]


@pytest.fixture
def atomic(databases: Any) -> Any:
    """`atomic`, of `one` unless a test says otherwise."""
    from django.db import transaction

    return lambda using="one", **options: transaction.atomic(using=using, **options)


@pytest.fixture
def outbox(databases: Any) -> Iterator[Any]:
    """The outbox's app, with its tables in `one`; gives what is in it."""
    from django.test import override_settings

    cloudq.create_outbox(using="one")

    def rows() -> list[str]:
        with databases["one"].cursor() as cursor:
            cursor.execute("select body from cloudq_outbox order by id")
            return [bytes(row[0]).decode() for row in cursor.fetchall()]

    with override_settings(INSTALLED_APPS=OUTBOX):
        yield rows


class Undone(Exception):
    """Ends a block."""


@contextmanager
def rolled_back(block: Any) -> Iterator[None]:
    """A block of `atomic` that ends with an error."""
    with suppress(Undone), block:
        yield
        raise Undone


def ready(app: cloudq.App) -> int | None:
    return app.queue("default").stats().ready


def write(connections: Any, alias: str, name: str) -> None:
    with connections[alias].cursor() as cursor:
        cursor.execute("insert into effect (name) values (%s)", [name])


class TestWithoutAnOutbox:
    def test_it_is_sent_after_the_commit(self, app, atomic):
        """And `Sent` says that only this process knows of it until then."""
        with atomic():
            held = app.send("note", {"n": 1})
            assert (False, 0) == (held.stored, ready(app))
        assert 1 == ready(app)
        assert app.send("note", {"n": 2}).stored  # no block is open
        assert 2 == ready(app)

    def test_it_is_never_sent_after_a_rollback(self, app, atomic):
        """As a whole, or to a savepoint; what was sent before the savepoint, and after it, stays."""
        with rolled_back(atomic()):
            app.send("note", {"n": 0})
        assert 0 == ready(app)
        with atomic():
            app.send("note", {"n": 1})
            with rolled_back(atomic()):
                app.send("note", {"n": 2})
            with atomic():
                app.send_many([app.tasks["note"].call(n=3), app.tasks["note"].call(n=4)])
            assert 0 == ready(app)
        assert 3 == ready(app)

    def test_only_the_named_database_counts(self, app, atomic):
        """A block of another one holds nothing; with both open, it is the named one's commit that counts."""
        with atomic("two"):
            assert app.send("note", {"n": 1}).stored
        assert 1 == ready(app)
        with rolled_back(atomic("two")):
            with atomic():
                app.send("note", {"n": 2})
            assert 2 == ready(app)
        with atomic():
            with atomic("two"):
                app.send("note", {"n": 3})
            assert 2 == ready(app)
        assert 3 == ready(app)

    def test_on_commit_false_sends_at_once(self, app, atomic):
        """Whatever becomes of the transaction."""
        with rolled_back(atomic()):
            assert app.send("note", {"n": 1}, on_commit=False).stored
            assert app.tasks["note"].options(on_commit=False).send(n=2).stored
        assert 2 == ready(app)

    def test_the_setting_says_so_for_all(self, app, atomic):
        """`ON_COMMIT`: False."""
        from django.test import override_settings

        with override_settings(CLOUDQ={"DATABASE": "one", "ON_COMMIT": False}), atomic():
            assert app.send("note", {"n": 1}).stored
            assert 1 == ready(app)

    def test_what_can_be_refused_is_refused_within_the_transaction(self, app, atomic):
        """Where it rolls back what it belongs to."""
        with pytest.raises(PayloadError), atomic():
            app.send("note", {"x": 1})
        with pytest.raises(UnsupportedError, match="ordering"), atomic():
            app.send("note", {"n": 1}, ordering_key="k")
        with pytest.raises(cloudq.MessageTooLarge), atomic():
            app.send("note", {"n": "x" * 3_000_000})
        assert 0 == ready(app)

    def test_what_fails_after_the_commit_is_logged_and_counted(self, app, atomic, databases, caplog, monkeypatch):
        """With the call, but for its payload. What was committed stays, and other callbacks run."""
        from django.db import transaction

        def down(_: Any) -> Any:
            raise BackendUnavailable("the network is cut")

        before, after = module.failures.count, []
        with caplog.at_level(logging.ERROR, "cloudq.django"), atomic():
            write(databases, "one", "kept")
            held = app.send("note", {"n": "secret"})
            transaction.on_commit(lambda: after.append(1), using="one")
            monkeypatch.setattr(app._connection, "queue", down)
        assert (before + 1, [1]) == (module.failures.count, after)
        (record,) = [record for record in caplog.records if record.name == "cloudq.django"]
        assert f"note {held.id} for queue default wasn't sent" in record.getMessage()
        assert "secret" not in caplog.text
        with databases["one"].cursor() as cursor:
            cursor.execute("select name from effect")
            assert [("kept",)] == cursor.fetchall()

    def test_a_send_that_sync_code_awaits_is_held(self, app, atomic):
        """`async_to_sync` runs it on a loop in another thread, whose connections are others."""
        from asgiref.sync import async_to_sync

        with rolled_back(atomic()):
            assert not async_to_sync(app.tasks["note"].asend)(n=1).stored
        with atomic():
            async_to_sync(app.tasks["note"].asend)(n=2)
            assert 0 == ready(app)
        assert 1 == ready(app)
        assert async_to_sync(app.tasks["note"].asend)(n=3).stored
        assert 2 == ready(app)


class TestWithTheOutbox:
    def test_it_is_stored_in_the_transaction(self, app, atomic, outbox):
        """And is gone with it, or with a savepoint; nothing is sent until a relay publishes it."""
        with atomic():
            assert app.send("note", {"n": 1}).stored
            with rolled_back(atomic()):
                app.send("note", {"n": 2})
        with rolled_back(atomic()):
            app.send("note", {"n": 3})
        (row,) = outbox()
        assert '{"n":1}' in row
        assert 0 == ready(app)

    def test_outside_of_a_block_it_is_sent(self, app, atomic, outbox):
        """As it is with `on_commit=False`."""
        assert app.send("note", {"n": 1}).stored
        with atomic():
            app.send("note", {"n": 2}, on_commit=False)
        assert ([], 2) == (outbox(), ready(app))

    def test_an_ordering_key_needs_a_block(self, app, atomic, outbox):
        """Django has no event before the commit in which its messages could be numbered."""
        app.task("ordered", queue="a.fifo")(lambda n: None)
        with pytest.raises(OptionError, match="within a block") as caught, atomic():
            app.send("ordered", {"n": 1}, ordering_key="k")
        assert 'cloudq.outbox_in(using="one")' in caught.value.hint
        with atomic(), app.outbox(using="one") as block:
            block.send("ordered", {"n": 1}, ordering_key="k")
        assert 1 == len(outbox())


class TestInTests:
    def test_the_block_of_a_test_case_is_none(self, app, databases):
        """What is sent outside of the tested code's own blocks is sent at once, as in production."""
        from django.db import transaction

        around = transaction.atomic(using="one")
        around._from_testcase = True
        with around:
            assert app.send("note", {"n": 1}).stored
            with transaction.atomic(using="one"):
                assert not app.send("note", {"n": 2}).stored
        assert 2 == ready(app)

    def test_eager(self, app, atomic):
        """A task runs at the commit, on its caller's connection, and not at all after a rollback."""
        ran: list[int] = []
        app.task("eager")(lambda n: ran.extend([n]))
        with app.eager():
            with atomic():
                assert not app.send("eager", {"n": 1}).stored
                assert [] == ran
            with rolled_back(atomic()):
                app.send("eager", {"n": 2})
            app.send("eager", {"n": 3})
        assert [1, 3] == ran

    def test_in_memory(self, app, atomic, outbox):
        """A backend in the test's own process has no relay: the outbox isn't used."""
        ran: list[int] = []
        app.task("run")(lambda n: ran.extend([n]))
        with in_memory(app):
            with atomic():
                assert not app.send("run", {"n": 1}).stored
                assert [] == outbox()
            run_all(app)
        assert [1] == ran
