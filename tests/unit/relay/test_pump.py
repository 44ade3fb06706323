"""Takes, publishes, settles: what a pump does where something fails in between."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from cloudq.app import App
from cloudq.core.message import Message
from cloudq.errors import BackendUnavailable, MessageTooLarge, Throttled
from cloudq.relay import pump as pump_module
from cloudq.relay.doorbell import Doorbell
from cloudq.relay.publishing import Publisher
from cloudq.relay.pump import Pump
from cloudq.relay.resting import LONGEST, Resting
from cloudq.relay.settings import RelaySettings
from cloudq.relay.tally import Counts, Tally
from cloudq.testing.clock import FakeClock
from tests.unit.relay.fakes import UNSIGNED_ALL, FakeOutbox, Refusing, down, messages


class Bench:
    """Pumps of one outbox."""

    def __init__(self, app: App, driver: Refusing, clock: FakeClock) -> None:
        self.driver = driver
        self.clock = clock
        self.tally = Tally()
        self.stop = Doorbell(clock)
        self.outbox = FakeOutbox(clock)
        self.resting = Resting(clock)
        self.more: list[int] = []
        self._publisher = Publisher(app.queue, self.resting, UNSIGNED_ALL)

    def pump(self, **settings: int) -> Pump:
        return Pump(
            self.outbox.open,
            self._publisher,
            settings=RelaySettings(**settings),  # type: ignore[arg-type]
            resting=self.resting.queues,
            tally=self.tally,
            more=lambda: self.more.append(len(self.driver.order)),
            stop=self.stop,
            clock=self.clock,
        )


@pytest.fixture
def bench() -> Iterator[Bench]:
    clock = FakeClock()
    driver = Refusing(clock=clock)
    app = App("memory://")
    with app.using(driver, clock=clock):
        yield Bench(app, driver, clock)


def test_publishes_and_settles(bench: Bench) -> None:
    """What was published is gone from the outbox; an empty outbox brings nothing."""
    bench.outbox.add(*messages("a", "b"))
    pump = bench.pump()

    assert (2, 0) == (pump.round(), pump.round())
    assert ["a", "b"] == bench.driver.order
    assert {} == bench.outbox.rows
    assert Counts(published=2) == bench.tally.counts()
    assert [] == bench.more


def test_full_takes(bench: Bench) -> None:
    """It says at once that there may be more, before it publishes: others may begin."""
    bench.outbox.add(*messages("a", "b", "c"))
    pump = bench.pump(batch=2)

    assert (2, 1, 0) == (pump.round(), pump.round(), pump.round())
    assert [0] == bench.more


def test_a_failed_one_waits_and_comes_again(bench: Bench) -> None:
    """It is put off with why, and published once its time has come; nothing of its key before."""
    bench.driver.errors["a1"] = Throttled("slowly")
    bench.outbox.add(*messages("a1", "a2", queue="q.fifo", key="a"), *messages("b", queue="q.fifo", key="b"))
    pump = bench.pump()
    pump.round()
    del bench.driver.errors["a1"]
    assert (["b"], 0) == (bench.driver.order, pump.round())
    bench.clock.advance(timedelta(seconds=1))
    pump.round()

    assert ["b", "a1", "a2"] == bench.driver.order
    assert Counts(published=3, failed=1) == bench.tally.counts()


def test_a_parked_one_holds_back_its_key(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """It stays with why, which is said, and what follows on its key waits; others go on."""
    bench.driver.errors["a1"] = MessageTooLarge("by far")
    bench.outbox.add(*messages("a1", "a2", queue="q.fifo", key="a"), *messages("b", queue="q.fifo", key="b"))
    pump = bench.pump()
    while pump.round():
        pass

    assert ["b"] == bench.driver.order
    assert {1: "MessageTooLarge: by far"} == bench.outbox.parked
    assert [1, 2] == sorted(bench.outbox.rows)
    assert "message 1 of the outbox is parked: MessageTooLarge: by far" in caplog.text


def test_a_queue_that_is_down_is_left_out(bench: Bench) -> None:
    """While it rests none of its messages is taken, so that they don't stand before those of other queues."""
    bench.outbox.add(*messages("a", "b"))
    bench.driver.errors["emails"] = BackendUnavailable("away")
    pump = bench.pump(batch=1)
    pump.round()
    bench.outbox.add(*messages("x", queue="reports"))
    pump.round()
    del bench.driver.errors["emails"]
    assert ([(), ("emails",)], ["x"]) == (bench.outbox.takes, bench.driver.order)
    bench.clock.advance(LONGEST)
    pump.round()
    pump.round()

    assert ["x", "a", "b"] == bench.driver.order
    assert {} == bench.resting.reasons()


def test_two_pumps_share(bench: Bench) -> None:
    """While one publishes, another takes none of its messages, nor what follows on their keys."""
    bench.outbox.add(*messages("a1", "a2", queue="q.fifo", key="a"), *messages("b", queue="q.fifo", key="b"))
    first, second = bench.pump(batch=1), bench.pump()
    order: list[list[str]] = []

    def meanwhile() -> None:
        bench.driver.during = lambda: None
        second.round()
        order.append(list(bench.driver.order))

    bench.driver.during = meanwhile
    first.round()
    second.round()

    assert [["b"]] == order
    assert ["b", "a1", "a2"] == bench.driver.order


def test_the_outbox_is_away(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A round without the outbox says so once, closes its connection, and the next one opens it anew."""
    bench.outbox.add(*messages("a"))
    pump = bench.pump()
    bench.driver.during = bench.outbox.take_from_all
    pump.round()
    bench.outbox.broken = down()
    assert (None, None) == (pump.round(), pump.round())
    assert (1, 1) == (len(bench.outbox.opened), bench.outbox.closed)
    assert isinstance(pump.down, type(bench.outbox.broken))
    bench.outbox.broken = None

    assert 1 == pump.round()
    assert (["a", "a"], None, 0) == (bench.driver.order, pump.down, pump.failures)
    assert 1 == caplog.text.count("the outbox can't be used, which is tried again: the server is away")


def test_published_and_not_settled(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """What the outbox can't be told is published again, and counted."""
    bench.outbox.add(*messages("a"))
    pump = bench.pump()
    bench.outbox.broken_settle = down()
    assert pump.round() is None
    bench.outbox.broken_settle = None
    pump.round()

    assert ["a", "a"] == bench.driver.order
    assert Counts(published=1, late=1) == bench.tally.counts()
    assert "1 messages were published, and the outbox can't be told: they may be published again" in caplog.text


def test_others_have_them_by_then(bench: Bench) -> None:
    """Where the database gave them to others, nothing is written, and the pump goes on."""
    bench.outbox.add(*messages("a"))
    pump = bench.pump()
    bench.driver.during = bench.outbox.take_from_all

    assert 1 == pump.round()
    assert Counts(late=1) == bench.tally.counts()
    assert pump.down is None


def test_settles_now_and_then(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a second of publishing it settles; the rest is free for anybody."""
    bench.outbox.add(*[Message(id=str(n), task="t", payload={}, queue=f"q{n}") for n in range(4)])
    bench.driver.during = lambda: bench.clock.advance(pump_module.SETTLE_AFTER / 2)
    pump = bench.pump()

    assert 4 == pump.round()
    assert ["0", "1"] == bench.driver.order
    assert ([3, 4], {}) == (sorted(bench.outbox.rows), bench.outbox.held)


def test_stops_between_two_calls(bench: Bench) -> None:
    """Once it is to stop, the call under way is the last one, and what it stored is settled."""
    bench.outbox.add(*[Message(id=str(n), task="t", payload={}, queue=f"q{n}") for n in range(3)])
    bench.driver.during = bench.stop.ring
    bench.pump().round()

    assert ["0"] == bench.driver.order
    assert ([2, 3], {}) == (sorted(bench.outbox.rows), bench.outbox.held)


def test_a_machine_that_slept(bench: Bench) -> None:
    """Nothing is published once the batch may be others'."""
    bench.outbox.add(*messages("a"))
    pump = bench.pump()
    taken = bench.outbox.open

    def slow(lease: timedelta) -> object:
        reader = taken(lease)
        take = reader.take

        def late(*given: object) -> object:
            batch = take(*given)  # type: ignore[arg-type]
            bench.clock.suspend(timedelta(minutes=2))
            return batch

        reader.take = late  # type: ignore[method-assign, assignment]
        return reader

    bench.outbox.open = slow  # type: ignore[method-assign, assignment]
    pump = bench.pump()
    pump.round()

    assert [] == bench.driver.order


def test_clock_steps_change_nothing(bench: Bench) -> None:
    """Setting the wall clock, in either direction, neither ends a batch nor has one be published late."""
    bench.outbox.add(*messages("a", "b"))
    pump = bench.pump(batch=1)
    bench.clock.step(timedelta(days=-3))
    pump.round()
    bench.clock.step(timedelta(days=9))
    pump.round()

    assert ["a", "b"] == bench.driver.order


def test_large_messages(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where messages are large, the next take brings fewer; where they are small again, more."""
    monkeypatch.setattr(pump_module, "MOST_BYTES", 5_000)
    bench.outbox.add(*[Message(id=f"l{n}", task="t", payload={"x": "y" * 2_000}, queue="q") for n in range(10)])
    pump = bench.pump(batch=6)
    counts = [pump.round(), pump.round()]
    bench.outbox.add(*messages(*map(str, range(20))))
    counts += [pump.round(), pump.round(), pump.round(), pump.round()]

    assert [6, 2, 4, 6, 6, 6] == counts


def test_a_slow_backend_has_longer_batches(bench: Bench) -> None:
    """Where a send may take longer than a batch is this relay's, the outbox is opened anew for longer ones."""
    from msgspec.structs import replace

    slow = Refusing(
        clock=bench.clock,
        capabilities=lambda queue: replace(
            Refusing(clock=bench.clock).capabilities(queue), call_timeout=timedelta(seconds=60)
        ),
    )
    app = App("memory://")
    with app.using(slow, clock=bench.clock):
        bench._publisher = Publisher(app.queue, Resting(bench.clock), UNSIGNED_ALL)
        bench.outbox.add(*messages("a"))
        pump = bench.pump()
        pump.round()
        assert [] == slow.order
        pump.round()

    assert ["a"] == slow.order
    assert [timedelta(seconds=60), timedelta(seconds=370)] == bench.outbox.opened
