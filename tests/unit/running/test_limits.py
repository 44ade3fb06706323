"""The limits of an app."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from cloudq import App, AtOnce, Breaker, Rate
from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.message import Message
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import ConfigurationError, StoreRefused, StoreUnavailable, UnsupportedError
from cloudq.flow.means import TABLE, Edge, Means
from cloudq.flow.pace import Pace
from cloudq.running import limits as limits_module
from cloudq.running.limits import AppLimits, limits_of, refuse_limits, shared_limits
from cloudq.stores.memory import MemoryStore
from cloudq.testing.clock import FakeClock

MINUTE = timedelta(minutes=1)


def declare(app: App, name: str, *queues: str, **options: Any) -> None:
    @app.task(name, queues=list(queues) or ["q"], **options)
    def task(customer: str = "") -> None: ...


def delivery(app: App, task: str, queue: str = "q", **payload: object) -> Delivery:
    now = app.clock.now()
    lease = Lease(queue=queue, receipt=None, expires_at=now + MINUTE, ends=app.clock.elapsed() + MINUTE)
    body = wire.encode(Message(id="m", task=task, queue=queue, sent_at=now, payload=payload))
    return Delivery.of(body, native_id="m", runs=1, deliveries=1, lease=lease)


def names(limits: Any) -> list[str]:
    return [limit.name for limit in limits]


def test_an_app_without_limits_has_none() -> None:
    """So that nothing is looked at for each delivery."""
    app = App("memory://", queue_rates={"elsewhere": "5/s"})
    declare(app, "t")
    assert limits_of(app, ["q"]) is None
    assert limits_of(app, ["elsewhere"]) is not None


def test_a_rate_of_a_queue_that_nobody_knows_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It limits nothing, and may be misspelt. One that is served, or that another worker serves, is known."""
    app = App("memory://", queue_rates={"q": "5/s", "mail": "5/s", "served": "5/s"})
    declare(app, "t")
    declare(app, "m", "mail", "bulk")
    limits_of(app, ["q", "served"])
    assert [] == caplog.messages
    limits_of(app, ["q"])
    assert ["queue_rates: no task has a queue 'served': its rate limits nothing"] == caplog.messages


def test_a_delivery_has_those_of_its_task_and_of_its_queue() -> None:
    """The same ones each time."""
    app = App("memory://", queue_rates={"q": "5/s"})
    declare(app, "t", rate="1/s")
    declare(app, "free")
    limits = limits_of(app, ["q"])
    assert limits is not None
    both = limits.of(delivery(app, "t"))
    assert names(both) == ["task t", "queue q"]
    assert limits.of(delivery(app, "t")) == both
    assert limits.of(delivery(app, "free")) == both[1:]
    assert names(limits.of(delivery(app, "unknown"))) == ["queue q"]
    assert limits.of(delivery(app, "free", queue="else")) == ()


def test_a_task_has_one_limit_under_all_its_names() -> None:
    """Messages in flight under an alias don't double its rate."""
    app = App("memory://")
    declare(app, "new", rate="1/s", aliases=["old"])
    limits = AppLimits(app)
    assert limits.of(delivery(app, "old")) == limits.of(delivery(app, "new"))


def test_each_key_has_a_limit_of_its_own() -> None:
    """Two of one key share it."""
    app = App("memory://")
    declare(app, "t", rate=Rate("1/s", key="{customer}"))
    limits = AppLimits(app)
    ana, ben = (limits.of(delivery(app, "t", customer=name)) for name in ("ana", "ben"))
    assert ana != ben
    assert limits.of(delivery(app, "t", customer="ana")) == ana


def test_keys_that_are_many_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded whatever the payloads say."""
    monkeypatch.setattr(limits_module, "_MANY", 2)
    app = App("memory://")
    declare(app, "t", rate=Rate("1/s", key="{customer}"))
    limits = AppLimits(app)
    for number in range(10):
        limits.of(delivery(app, "t", customer=str(number)))
    assert len(limits._kept) <= 2


def test_what_is_in_hand_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what a worker looks at before each poll: two limits of one name would let in twice as many."""
    monkeypatch.setattr(limits_module, "_MANY", 2)
    app = App("memory://", queue_rates={"q": "5/s"})
    declare(app, "t", at_once=AtOnce(1, key="{customer}", per_worker=True))
    limits = AppLimits(app)
    polled = limits.of_queue("q", [])
    in_hand = limits.of(delivery(app, "t", customer="ana"))
    for number in range(10):
        limits.of(delivery(app, "t", customer=str(number)))
    assert limits.of(delivery(app, "t", customer="ana")) == in_hand
    assert limits.of_queue("q", []) == polled
    assert len(limits._kept) <= 4


def test_a_breaker_and_a_rate_of_one_worker_outlast_many_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else knows of them. The rate's turn is forgotten once it is past."""
    monkeypatch.setattr(limits_module, "_MANY", 2)
    clock = FakeClock()
    app = App("memory://")
    declare(app, "t", breaker=Breaker(failures=1), rate=Rate("1/h", key="{customer}", per_worker=True))
    declare(app, "other", rate=Rate("1/h", key="{customer}"))
    with app.using(MemoryDriver(clock=clock), clock=clock):
        limits = AppLimits(app)

        def start() -> list[bool]:
            each = limits.of(delivery(app, "t", customer="ana"))
            each[1].ask(1)(clock.elapsed())
            return [limit.enter(clock.elapsed()) for limit in each]

        def many() -> None:
            for number in range(10):
                limits.of(delivery(app, "other", customer=str(number)))

        assert start() == [True, True]
        limits.of(delivery(app, "t", customer="ana"))[0].leave(clock.elapsed(), failed=True, entered=clock.elapsed())
        many()
        assert start() == [False, False]
        clock.advance(60 * MINUTE)
        many()
        assert len(limits._kept) <= 3
        assert start() == [True, True]


def test_a_new_key_does_not_look_through_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none can be forgotten, it is tried again once they are twice as many."""
    monkeypatch.setattr(limits_module, "_MANY", 2)
    looks: list[Pace] = []
    monkeypatch.setattr(Pace, "is_as_new", lambda pace, _: bool(looks.append(pace)))
    app = App("memory://")
    declare(app, "t", rate=Rate("1/h", key="{customer}", per_worker=True))
    limits = AppLimits(app)
    for number in range(64):
        limits.of(delivery(app, "t", customer=str(number)))
    assert len(limits._kept) == 64
    assert len(looks) < 2 * 64


def test_two_pollers_do_not_forget_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one looks for what to forget, another one that needs a limit, too, waits, or its limit would be lost."""
    monkeypatch.setattr(limits_module, "_MANY", 1)
    app = App("memory://")
    declare(app, "t", rate=Rate("1/s", key="{customer}"))
    limits = AppLimits(app)
    limits.of(delivery(app, "t", customer="first"))
    others: list[Any] = []
    other = threading.Thread(target=lambda: others.append(limits.of(delivery(app, "t", customer="other"))))

    def is_as_new(_: Pace, now: timedelta) -> bool:
        if other.ident is None:
            other.start()
            other.join(0.1)  # it is done by then, unless it waits for this look's end
        return True

    monkeypatch.setattr(Pace, "is_as_new", is_as_new)
    own = limits.of(delivery(app, "t", customer="own"))
    other.join(60)
    assert list(limits._kept.values()) == [*own, *others[0]]


class Seated:
    """Limits of three keys, each with a seat of its own, and the calls that give them back."""

    def __init__(self, app: App, clock: FakeClock, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = clock
        self.limits = AppLimits(app)
        self.each = [self.limits.of(delivery(app, "t", customer=name))[0] for name in ("ana", "ben", "cem")]
        for limit in self.each:
            limit.wants(clock.elapsed(), 1, polling=False)
            limit.ask(1)(clock.elapsed())
        self.calls: list[str] = []
        self.error: BaseException | None = None
        self._read = store.notes.read
        monkeypatch.setattr(store.notes, "read", self._note)

    def _note(self, name: str) -> Any:
        self.calls.append(name)
        self.clock.advance(timedelta(seconds=1))
        if self.error is not None:
            raise self.error
        return self._read(name)


@pytest.fixture
def seated(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seated]:
    clock = FakeClock()
    app, store = App("memory://"), MemoryStore(clock)
    declare(app, "t", at_once=AtOnce(1, key="{customer}"))
    with app.using(MemoryDriver(clock=clock), clock=clock, store=store):
        yield Seated(app, clock, store, monkeypatch)


@pytest.mark.parametrize(("seconds", "calls"), [(0, 0), (1, 1), (2, 2), (60, 3)])
def test_seats_are_given_back_until_then(seated: Seated, seconds: int, calls: int) -> None:
    """In one time for all, each call of the store taking a second of it."""
    seated.limits.close(seated.clock.elapsed() + timedelta(seconds=seconds))
    assert len(seated.calls) == calls


@pytest.mark.parametrize("error", [StoreUnavailable("no route"), StoreRefused("no"), KeyError("a slip")], ids=repr)
def test_a_store_that_fails_is_given_nothing_more_back(seated: Seated, error: Exception) -> None:
    """Each of the others would fail as late; the seats are over in a minute."""
    seated.error = error
    seated.limits.close(seated.clock.elapsed() + MINUTE)
    assert len(seated.calls) == 1


def test_a_queue_of_one_task_is_polled_by_the_tasks_limit() -> None:
    """Of several, or by keys, a poll can't choose."""
    app = App("memory://", queue_rates={"two": "5/s"})
    declare(app, "one", "one", rate="1/s", aliases=["before"])
    declare(app, "a", "two", rate="1/s")
    declare(app, "b", "two")
    declare(app, "keyed", "keys", rate=Rate("1/s", key="{customer}"))
    limits = AppLimits(app)
    tasks = list(app.runtime.handlers.values())
    assert names(limits.of_queue("one", tasks)) == ["task one"]
    assert names(limits.of_queue("two", tasks)) == ["queue two"]
    assert limits.of_queue("keys", tasks) == ()


def test_what_workers_share_is_in_the_apps_store() -> None:
    """Two workers have one line; a rate of each worker's asks no store."""
    app = App("memory://")
    declare(app, "shared", rate="1/h")
    declare(app, "own", rate=Rate("1/h", per_worker=True))
    store = MemoryStore()
    with app.using(app.driver(), store=store):
        for name, expected in (("shared", 1), ("own", 2)):
            entered = 0
            for limits in (AppLimits(app), AppLimits(app)):
                [limit] = limits.of(delivery(app, name))
                limit.ask(1)(app.clock.elapsed())
                entered += limit.enter(app.clock.elapsed())
            assert entered == expected


def test_a_store_that_is_gone_is_an_error_of_the_question() -> None:
    """Which its limit waits out."""
    app = App("memory://", store="none")
    declare(app, "shared", rate="1/h")
    [limit] = AppLimits(app).of(delivery(app, "shared"))
    with pytest.raises(ConfigurationError):
        limit.ask(1)


def test_what_needs_a_store_is_named() -> None:
    """For the refusal at the start."""
    app = App("memory://", queue_rates={"mail": "5/s", "own": Rate("5/s", per_worker=True)})
    declare(app, "t", rate="1/s", aliases=["u"])
    declare(app, "own", rate=Rate("1/s", per_worker=True))
    assert shared_limits(app) == ["task 't'", "queue 'mail'"]


@pytest.mark.parametrize("edge", Edge, ids=lambda edge: edge.name)
@pytest.mark.parametrize("means", Means, ids=lambda means: means.name)
def test_what_an_edge_cannot_keep_is_refused_at_its_start(edge: Edge, means: Means) -> None:
    """As the table says, with what to do instead."""
    app = App("memory://", queue_rates={"q": "5/s"} if means is Means.QUEUE_RATE else {})
    rates = {
        Means.TASK_RATE: Rate("1/s"),
        Means.KEY_RATE: Rate("1/s", key="{customer}"),
        Means.WORKER_RATE: Rate("1/s", per_worker=True),
    }
    seats = {
        Means.TASK_AT_ONCE: 5,
        Means.KEY_AT_ONCE: AtOnce(5, key="{customer}"),
        Means.WORKER_AT_ONCE: AtOnce(5, per_worker=True),
    }
    breaker = Breaker() if means is Means.BREAKER else None
    declare(app, "t", rate=rates.get(means), at_once=seats.get(means), breaker=breaker)
    cell = TABLE[edge][means]
    if not cell.refused:
        refuse_limits(app, edge)
        return
    with pytest.raises(UnsupportedError) as caught:
        refuse_limits(app, edge)
    assert caught.value.hint == cell.hint


def test_on_lambda_a_fifo_queue_keeps_no_limit() -> None:
    """Nothing can be copied there without losing its place, and a release is counted."""
    app = App("memory://")
    declare(app, "t", "q.fifo", rate="1/s")
    refuse_limits(app, Edge.WORKER)
    with pytest.raises(UnsupportedError, match="FIFO"):
        refuse_limits(app, Edge.LAMBDA)
