"""A whole relay in this process, on an outbox in memory."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from typing import Self

import pytest

from cloudq.app import App
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.errors import BackendUnavailable, MessageTooLarge
from cloudq.relay import pump as pump_module
from cloudq.relay import service as service_module
from cloudq.relay.service import Relay
from cloudq.relay.settings import RelaySettings
from cloudq.relay.tally import Counts
from tests.unit.relay.fakes import FakeOutbox, Refusing, down, messages

PATIENCE = 60
SOON = timedelta(milliseconds=5)


class Bench:
    """A relay, and what it works on, in real time."""

    def __init__(self, app: App, driver: Refusing) -> None:
        self.app = app
        self.driver = driver
        self.outbox = FakeOutbox(SYSTEM_CLOCK)

    def relay(self, **settings: object) -> Relay:
        return Relay(self.app, self.outbox.open, RelaySettings(**{"poll": SOON, **settings}))  # type: ignore[arg-type]


class Running:
    """A relay that runs in a thread."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.code: int | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        self.code = self.relay.run()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.relay.stop()
        self.ended()

    def ended(self) -> int | None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.code


@pytest.fixture
def bench() -> Iterator[Bench]:
    driver = Refusing()
    app = App("memory://")
    with app.using(driver):
        yield Bench(app, driver)


def test_publishes_what_comes(bench: Bench) -> None:
    """What is there, and what comes later, is published, until it is stopped."""
    bench.outbox.add(*messages("a"))
    with Running(bench.relay()) as running:
        bench.outbox.until_empty()
        bench.outbox.add(*messages("b", "c"))
        bench.outbox.until_empty()

    assert 0 == running.code
    assert ["a", "b", "c"] == bench.driver.order
    assert Counts(published=3) == running.relay.counts()
    assert len(bench.outbox.opened) == bench.outbox.closed


def test_many_batches_at_once(bench: Bench) -> None:
    """While there is more than a batch the others help; each message is published once."""
    meet = threading.Barrier(2, timeout=PATIENCE)

    def together() -> None:
        bench.driver.during = lambda: None
        meet.wait()

    def first() -> None:
        bench.driver.during = together
        meet.wait()

    bench.driver.during = first
    with Running(bench.relay(batch=3, concurrency=2)):
        bench.outbox.add(*messages(*[f"m{n}" for n in range(200)]))
        bench.outbox.until_empty()
    assert not meet.broken

    assert sorted(f"m{n}" for n in range(200)) == sorted(bench.driver.order)


def test_who_helps_looks_only_when_there_is_more_than_a_batch(bench: Bench) -> None:
    """An outbox on SQLite has one reader at a time: one that found nothing would keep the other from it."""
    with Running(bench.relay(batch=3, concurrency=2)):
        for name in "abc":
            bench.outbox.add(*messages(name))
            bench.outbox.until_empty()
    assert 1 == len(bench.outbox.opened)


def test_once(bench: Bench) -> None:
    """`once` ends when nothing is due, with 0 where all was published."""
    bench.outbox.add(*messages(*[f"m{n}" for n in range(20)]))

    assert 0 == bench.relay(once=True, batch=3).run()
    assert 20 == len(bench.driver.order)


@pytest.mark.parametrize("error", [MessageTooLarge("by far"), BackendUnavailable("away")])
def test_once_and_something_is_left(bench: Bench, error: Exception) -> None:
    """1 where a message was parked, or couldn't be published."""
    bench.outbox.add(*messages("a", "b"))
    bench.driver.errors["a"] = error

    assert 1 == bench.relay(once=True).run()
    assert ["b"] == bench.driver.order


def test_ends_after_a_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `max_time` it ends by itself, with 0, though more may come."""
    bench.outbox.add(*messages("a"))
    relay = bench.relay(max_time=SOON)
    start = relay.start
    monkeypatch.setattr(relay, "start", lambda: (start(), bench.outbox.until_empty()))  # before it looks at the time

    with Running(relay) as running:
        assert 0 == running.ended()
    assert ["a"] == bench.driver.order


def test_once_and_the_time_is_over(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """1: what `max_time` left no time for isn't published."""
    bench.outbox.add(*messages("a"), *messages("b", queue="reports"))
    relay = bench.relay(once=True, max_time=timedelta(microseconds=1), concurrency=1)
    taken, start = threading.Event(), relay.start

    def until_the_time_is_over() -> None:
        taken.set()
        relay._loop.look_again()
        relay._stop.wait(0, timedelta(seconds=PATIENCE))

    bench.driver.during = until_the_time_is_over
    monkeypatch.setattr(relay, "start", lambda: (start(), taken.wait(PATIENCE)))  # before it looks at the time

    assert 1 == relay.run()
    assert ["a"] == bench.driver.order
    assert [2] == list(bench.outbox.rows)


def test_once_without_the_outbox(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """3 where the outbox can't be reached, after a few tries."""
    monkeypatch.setattr(pump_module, "FIRST_PAUSE", SOON)
    bench.outbox.broken = down()

    assert 3 == bench.relay(once=True, concurrency=1).run()


def test_the_outbox_comes_back(bench: Bench) -> None:
    """A relay that isn't told to end waits for its outbox."""
    bench.outbox.broken = down()
    bench.outbox.add(*messages("a"))
    relay = bench.relay(concurrency=1)
    with Running(relay):
        assert bench.outbox.refused.wait(PATIENCE)
        bench.outbox.broken = None
        bench.outbox.until_empty()

    assert ["a"] == bench.driver.order


def test_the_first_stop_awaits_the_call(bench: Bench) -> None:
    """The call under way ends, and is settled; what follows stays in the outbox."""
    bench.outbox.add(*messages("a"), *messages("b", queue="reports"))
    relay = bench.relay(concurrency=1)
    seen = threading.Event()

    def during() -> None:
        relay.stop()
        relay._stop.wait(0, timedelta(seconds=PATIENCE))
        seen.set()

    bench.driver.during = during
    with Running(relay) as running:
        assert seen.wait(PATIENCE)
        assert 0 == running.ended()

    assert ["a"] == bench.driver.order
    assert [2] == list(bench.outbox.rows)


def test_the_second_stop_leaves_now(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that hangs isn't awaited after a second signal: it is said what is left."""
    monkeypatch.setattr(service_module, "AT_ONCE", SOON)
    bench.outbox.add(*messages("a"))
    relay = bench.relay(concurrency=1)
    inside, leave = threading.Event(), threading.Event()

    def hang() -> None:
        inside.set()
        leave.wait(PATIENCE)

    bench.driver.during = hang
    with Running(relay) as running:
        assert inside.wait(PATIENCE)
        relay.stop(now=True)
        assert 0 == running.ended()
    leave.set()

    assert "1 messages are left, of which some may be published again" in caplog.text


def test_inside_another_host(bench: Bench) -> None:
    """A worker starts and ends it."""
    relay = bench.relay()
    relay.start()
    bench.outbox.add(*messages("a"))
    bench.outbox.until_empty()
    relay.end(timedelta(seconds=PATIENCE))

    assert ["a"] == bench.driver.order
    assert bench.outbox.closed == len(bench.outbox.opened)


def test_health_pages(bench: Bench) -> None:
    """They are served while it runs."""
    relay = bench.relay(health=("127.0.0.1", 0))
    with Running(relay):
        bench.outbox.add(*messages("a"))
        bench.outbox.until_empty()
        assert relay.health_address is not None
        with urllib.request.urlopen(f"http://127.0.0.1:{relay.health_address[1]}/readyz", timeout=PATIENCE) as page:
            said = json.load(page)

    assert (True, {"(outbox)": "relaying"}) == (said["ok"], said["queues"])


def test_summary(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """At the end it says what it did in all."""
    caplog.set_level("INFO")
    bench.outbox.add(*messages("a", "b"))
    bench.relay(once=True).run()

    assert "outbox, in all: 2 published" in caplog.text


def test_how_soon_it_looks(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told of new messages it looks seldom, but as often as others while a message waits for its next try."""

    class Hearing:
        hears = True

    relay = bench.relay(poll=SOON, listening_poll=timedelta(seconds=9))
    assert SOON == relay._poll()
    monkeypatch.setattr(relay, "_listener", Hearing())
    assert timedelta(seconds=9) == relay._poll()
    relay._tally.add(failed=1)
    assert SOON == relay._poll()
    monkeypatch.setattr(service_module, "AFTER_A_FAILURE", timedelta(0))
    assert timedelta(seconds=9) == relay._poll()
    monkeypatch.setattr(Hearing, "hears", False)
    assert SOON == relay._poll()
