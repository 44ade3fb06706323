"""Moments while a test freezes the time, and of classes that are datetimes to everybody but a serializer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from freezegun import freeze_time

from cloudq import App, CloudqError
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.moments import Moments, plain_datetime
from cloudq.testing import in_memory, run_all


class Stamp(datetime):
    """As pendulum's and freezegun's."""


@dataclass
class Visit:
    day: date


def test_a_subclass_becomes_the_plain_type() -> None:
    """The same moment, zone and fold."""
    stamp = Stamp(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC, fold=1)
    plain = plain_datetime(stamp)
    assert stamp == plain
    assert (datetime, 1) == (type(plain), plain.fold)


def test_what_is_plain_stays() -> None:
    """The very object."""
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    assert moment is plain_datetime(moment)


def test_the_system_clock_is_frozen_and_plain() -> None:
    """What it gives can be stored."""
    with freeze_time("2030-01-02"):
        now = SYSTEM_CLOCK.now()
    assert datetime(2030, 1, 2, tzinfo=UTC) == now
    assert type(now) is Moments.datetime


def test_spans_are_not_frozen() -> None:
    """A lease lasts, whatever a test does to the date."""
    with freeze_time("2030-01-02"):
        before = SYSTEM_CLOCK.elapsed()
        assert SYSTEM_CLOCK.elapsed() >= before > timedelta(0)


async def by_asend(app: App, when: datetime) -> None:
    await app.asend("note", {"when": when})


SENDS: dict[str, Callable[[App, datetime], object]] = {
    "by name": lambda app, when: app.send("note", {"when": when}),
    "many": lambda app, when: app.send_many([app.tasks["note"].call(when=when)]),
    "async": lambda app, when: asyncio.run(by_asend(app, when)),
    "at a moment": lambda app, when: app.send("note", {"when": when}, at=when),
    "with a delay": lambda app, when: app.tasks["note"].options(delay=timedelta(seconds=1)).send(when=when),
}


@pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)
@pytest.mark.parametrize("tick", [False, True])
def test_every_way_to_send_works_while_time_is_frozen(send: Callable[[App, datetime], object], tick: bool) -> None:
    """What was resolved and declared before, too, and whether the frozen clock ticks."""
    app, got = App(), []

    @app.task("note")
    def note(when: datetime) -> None:
        got.append(when)

    refused: Exception | None = None
    with freeze_time("2030-01-02", tick=tick), in_memory(app):
        given = datetime.now(UTC)
        try:
            send(app, given)
        except CloudqError as error:
            refused = error
        run_all(app)
    assert (None, [given]) == (refused, got)


def test_tasks_are_sent_and_run_while_time_is_frozen(tmp_path: Path) -> None:
    """On SQLite, in memory and eagerly, with a delay, with frozen values, and types resolved in the frozen time."""
    got: list[object] = []

    with freeze_time("2030-01-02"):
        app = App(f"sqlite:///{tmp_path}/q.db")

        @app.task("note")
        def note(when: datetime, visit: Visit) -> None:
            got.append((when, visit.day))

        payload = {"when": datetime.now(UTC), "visit": Visit(date.today())}  # noqa: DTZ011 - freezegun's, on purpose
        note.send(**payload)  # type: ignore[arg-type]  # the types are above
        note.options(at=datetime.now(UTC) + timedelta(hours=1)).send(**payload)  # type: ignore[arg-type]  # as above
        with in_memory(app):
            note.send(**payload)  # type: ignore[arg-type]  # as above
            note.options(delay=timedelta(hours=1)).send(**payload)  # type: ignore[arg-type]  # as above
            run_all(app)
        with app.eager():
            note.send(**payload)  # type: ignore[arg-type]  # as above
        app.close()
    assert [(datetime(2030, 1, 2, tzinfo=UTC), date(2030, 1, 2))] * 3 == got
