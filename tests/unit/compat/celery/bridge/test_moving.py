"""`Bridge`: stored first, taken out afterwards, and what can't be bridged left and told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from cloudq import App
from cloudq.compat.celery.bridge.moving import Bridge
from cloudq.compat.celery.bridge.old_queue import Found
from cloudq.compat.celery.bridge.stays import Why
from cloudq.core.driver import SendResult
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendUnavailable, QueueNotFound
from cloudq.testing.clock import FakeClock
from tests.unit.compat.celery.bridge.messages import written

NOW = datetime(2026, 11, 29, 20, tzinfo=UTC)
ZERO, SECOND, HOUR = timedelta(0), timedelta(seconds=1), timedelta(hours=1)


class Old:
    """An old queue in memory, that shows what was done to it."""

    def __init__(self, *raws: bytes | None, page: int = 100) -> None:
        self.there = [Found(raw=raw, size=len(raw or b""), place="celery", handle=n) for n, raw in enumerate(raws)]
        self.left: list[Found] = []
        self.page = page
        self.steps: list[str] = []
        self.reads = 0

    def waiting(self):
        return len(self.there)

    def read(self, wait):
        self.reads += 1
        assert self.reads < 100, "it goes round and round"
        return [one for one in self.there if one not in self.left][: self.page]

    def take(self, found):
        self.steps.append(f"take {len(found)}")
        self.there = [one for one in self.there if one not in found]

    def leave(self, found):
        self.left += found

    def held_back(self):
        return 0

    def close(self):
        pass


class Driver(MemoryDriver):
    """Fails to store what `refused` says, and notes that it was asked."""

    refused: Exception | None = None
    steps: list[str]

    def send(self, outgoing):
        self.steps.append(f"send {len(outgoing)}")
        if self.refused is not None:
            return [SendResult(error=self.refused)] * len(outgoing)
        return super().send(outgoing)


@pytest.fixture
def clock():
    return FakeClock(NOW)


@pytest.fixture
def driver(clock):
    driver = Driver(clock=clock)
    driver.steps = []
    return driver


@pytest.fixture
def app(clock, driver):
    app = App("memory://")

    @app.task("shop.add")
    def add(a: int, b: int) -> None: ...

    @app.task("shop.mail", queue="mails")
    def mail(to: str) -> None: ...

    with app.using(driver, clock=clock):
        yield app


def bridge(app, old, clock, **more):
    """One that rests by moving the clock on."""

    def rest(span):
        clock.advance(span)
        return False

    return Bridge(app, old, **{"rest": rest, **more})


def test_it_is_stored_and_then_taken_out(app, driver, clock):
    """Page by page, and queue by queue."""
    old = Old(*[written([n, n], tag=f"{n}") for n in range(3)], written(["x"], task="shop.mail"), page=2)
    old.steps = driver.steps
    tally = bridge(app, old, clock).run(ZERO)
    assert ["send 2", "take 2", "send 1", "take 1", "send 1", "take 1"] == driver.steps
    assert ([], 4, 0) == (old.there, tally.bridged, tally.stay)
    assert ["default"] * 3 + ["mails"] == [item.queue for item in driver.sent]


def test_what_cant_be_bridged_stays_and_is_told(app, clock):
    """Each once, with what it says it is; the others go on."""
    told = []
    old = Old(b"nonsense!", written(chord={"task": "t"}), None, written(), written(["x"]))
    tally = bridge(app, old, clock, told=told.append).run(2 * SECOND)
    assert [Why.UNREADABLE, Why.CHORD, Why.TOO_LARGE, Why.ARGUMENTS] == [left.why for left in told]
    assert [None, "shop.add", None, "shop.add"] == [left.task for left in told]
    assert dict.fromkeys((Why.UNREADABLE, Why.CHORD, Why.TOO_LARGE, Why.ARGUMENTS), 1) == tally.left
    assert (4, 1) == (len(old.there), tally.bridged)


def test_what_nobody_knows_the_queue_of_stays_and_is_told(app, clock):
    """With what it says it is, though it could be bridged."""
    told = []
    old = Old(written())
    old.there = [replace(old.there[0], astray="a broadcast")]
    bridge(app, old, clock, told=told.append).run(ZERO)
    assert [(Why.ROUTE, "shop.add", "a broadcast")] == [(left.why, left.task, left.detail) for left in told]
    assert 1 == len(old.there)


def test_what_the_backend_cant_do_stays(app, driver, clock):
    """A message that is too large there, say; the others of its page are stored."""
    told = []
    old = Old(written([1, 2]), written(["x" * 2_000_000], task="shop.mail"))
    bridge(app, old, clock, told=told.append).run(ZERO)
    assert [Why.REFUSED] == [left.why for left in told]
    assert 1 == len(old.there)


def test_a_tracked_task_needs_a_store(app, clock):
    """As a send of it does."""
    app.task("shop.tracked", track=True)(lambda: None)
    told = []
    bridge(app, Old(written([], task="shop.tracked")), clock, told=told.append).run(ZERO)
    assert [Why.REFUSED] == [left.why for left in told]


@pytest.mark.parametrize("error", [BackendUnavailable("down"), QueueNotFound("no queue")])
def test_a_backend_that_fails_ends_it_and_nothing_is_taken(app, driver, clock, error):
    """All of it is there for the next one."""
    driver.refused = error
    old = Old(written())
    with pytest.raises(type(error)):
        bridge(app, old, clock).run(None)
    assert (1, []) == (len(old.there), old.steps)


def test_what_is_met_twice_is_stored_once_where_names_are_known(app, driver, clock):
    """As after a kill between the two steps."""
    bridge(app, Old(written()), clock).run(ZERO)
    tally = bridge(app, Old(written()), clock).run(ZERO)
    assert (1, 1, 1) == (tally.bridged, tally.duplicates, driver.stats("default").ready)


def test_it_is_counted_what_they_are(app, clock):
    """Those that wait, were tried, or came too late."""
    at = (NOW + HOUR).isoformat()
    old = Old(
        written(headers={"eta": at}, tag="1"),
        written(headers={"retries": 1}, tag="2"),
        written(headers={"expires": NOW.isoformat()}, tag="3"),
        written(headers={"expires": at}, tag="4"),
    )
    tally = bridge(app, old, clock).run(ZERO)
    assert (4, 1, 1, 1) == (tally.bridged, tally.delayed, tally.retried, tally.expired)


def test_a_dry_run_changes_nothing(app, driver, clock):
    """And sees all of it."""
    old = Old(written(tag="1"), b"nonsense!", written(tag="2"), page=1)
    tally = bridge(app, old, clock, dry_run=True).run(ZERO)
    assert ([], []) == (driver.steps, old.steps)
    assert (2, 1, 3) == (tally.bridged, tally.stay, len(old.there))


def test_it_ends_when_nothing_has_come_for_long_enough(app, clock):
    """Counted from the last message that came."""
    old = Old(written(tag="1"))
    rests = []

    def rest(span):
        clock.advance(span)
        if span:
            rests.append(span)
            if len(rests) == 3:
                old.there.append(Found(raw=written(tag="2"), size=1, place="celery", handle=9))
        return False

    assert 2 == bridge(app, old, clock, rest=rest).run(5 * SECOND).bridged
    assert 3 + 5 == len(rests)


def test_it_ends_when_it_is_told_to(app, clock):
    """After the page in hand: what is stored was taken out."""
    old = Old(*[written(tag=f"{n}") for n in range(4)], page=2)
    asked = []

    def rest(span):
        asked.append(span)
        return len(asked) == 2

    assert 2 == bridge(app, old, clock, rest=rest).run(None).bridged
    assert 2 == len(old.there)


def test_how_far_it_is(app, clock):
    """What was looked at, of each page."""
    moved = []
    bridge(app, Old(b"x", written(), page=1), clock, moved=moved.append).run(ZERO)
    assert [1, 1] == moved
