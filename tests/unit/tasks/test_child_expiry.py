"""A deadline that is inherited: what a task sends expires with the message that it runs for, where that is declared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cloudq import App
from cloudq.testing import FakeClock, in_memory, run_all, sent

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def children(app_wide: bool | None, own: bool | None, *, expires: timedelta | None = HOUR) -> list[datetime | None]:
    """When each child expires: of a plain one, one that expires sooner, one later, and those of `send_many`."""
    with in_memory(App(propagate_expiry=app_wide), clock=FakeClock(NOW)) as app:

        @app.task("child")
        def child() -> None: ...

        options = {} if own is None else {"propagate_expiry": own}

        @app.task("parent", **options)
        def parent() -> None:
            child.send()
            child.options(expires=HOUR / 2).send()
            child.options(expires=2 * HOUR).send()
            app.send_many([child.call()])

        if expires is None:
            parent.send()
        else:
            parent.options(expires=expires).send()
        run_all(app)
        return [message.expires_at for message in sent(app) if message.task == "child"]


@pytest.mark.parametrize(("app_wide", "own"), [(True, None), (None, True), (False, True)])
def test_a_child_expires_no_later_than_its_parent(app_wide: bool | None, own: bool | None) -> None:
    """At the earlier of its own time and the inherited one."""
    assert [NOW + HOUR, NOW + HOUR / 2, NOW + HOUR, NOW + HOUR] == children(app_wide, own)


@pytest.mark.parametrize(("app_wide", "own"), [(None, None), (True, False)])
def test_nothing_is_inherited_unless_it_is_declared(app_wide: bool | None, own: bool | None) -> None:
    """By the app or the task; the task has the last word."""
    assert [None, NOW + HOUR / 2, NOW + 2 * HOUR, None] == children(app_wide, own)


def test_where_nothing_of_the_chain_expires_nothing_changes() -> None:
    """The children keep their own times."""
    assert [None, NOW + HOUR / 2, NOW + 2 * HOUR, None] == children(True, None, expires=None)


def test_a_deadline_goes_down_the_whole_chain() -> None:
    """Grandchildren have it, too; what comes too late isn't begun."""
    clock = FakeClock(NOW)
    ran = []
    with in_memory(App(propagate_expiry=True), clock=clock) as app:

        @app.task("third")
        def third() -> None:
            ran.append("third")

        @app.task("second")
        def second() -> None:
            ran.append("second")
            third.send()
            clock.advance(HOUR)

        @app.task("first")
        def first() -> None:
            ran.append("first")
            second.send()

        first.options(expires=HOUR).send()
        runs = run_all(app)
        assert ["first", "second"] == ran
        assert "third, attempt 1: expired" in str(runs)


def test_what_another_app_sends_within_the_run_inherits_it_as_well() -> None:
    """The declaration is that of the task that runs."""
    with in_memory(App(), clock=FakeClock(NOW)) as other, in_memory(App(), clock=FakeClock(NOW)) as app:

        @other.task("elsewhere")
        def elsewhere() -> None: ...

        @app.task("parent", propagate_expiry=True)
        def parent() -> None:
            elsewhere.send()

        parent.options(expires=HOUR).send()
        run_all(app)
        assert [NOW + HOUR] == [message.expires_at for message in sent(other)]
