"""Limits at the edges that are handed one delivery at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest

from cloudq import App, Breaker, Rate
from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import ACKED, Acked, DeadLettered, Retried, Snoozed, Why
from cloudq.core.processor import no_time_limit
from cloudq.core.store import ClaimKey
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import StoreUnavailable
from cloudq.flow.seats import RENEW_AFTER, StoredRegister
from cloudq.running.claims import StoreClaims
from cloudq.running.limited_runs import LimitedBegun, LimitedRuns, has_failed
from cloudq.running.limits import AppLimits
from cloudq.running.processing import processor_of
from cloudq.stores.memory import MemoryStore
from cloudq.testing.clock import FakeClock
from tests.unit.worker.fakes import until

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


class Bench:
    """An app whose task notes its runs, and two processes of an edge."""

    def __init__(self, *, queue_rates: Mapping[str, str] | None = None, **options: Any) -> None:
        self.clock = FakeClock()
        self.store = MemoryStore(self.clock)
        self.app = App("memory://", queue_rates=queue_rates)
        self.runs: list[str] = []
        self.app.task("t", **options)(self._task())
        self.lent = self.app.using(MemoryDriver(clock=self.clock), clock=self.clock, store=self.store)
        self.lent.__enter__()
        self.processors = [processor_of(self.app, no_time_limit, limited=True, heartbeat=False) for _ in range(2)]

    def _task(self) -> Any:
        def task(customer: str = "", fail: bool = False) -> str:
            self.runs.append(customer)
            if fail:
                raise ValueError("no")
            return customer

        return task

    def process(self, edge: int = 0, **payload: object) -> Any:
        return self.processors[edge].process(self.delivery(**payload))

    def delivery(self, **payload: object) -> Delivery:
        now = self.clock.now()
        lease = Lease(queue="default", receipt=None, expires_at=now + MINUTE, ends=self.clock.elapsed() + MINUTE)
        body = wire.encode(Message(id="m", task="t", queue="default", sent_at=now, payload=payload))
        return Delivery.of(body, native_id="m", runs=1, deliveries=1, lease=lease)


@pytest.fixture
def made() -> Iterator[list[Bench]]:
    """Gives back the apps that a test lent its clock to."""
    benches: list[Bench] = []
    yield benches
    for bench in benches:
        bench.lent.__exit__(None, None, None)


def bench_of(made: list[Bench], **options: Any) -> Bench:
    made.append(Bench(**options))
    return made[-1]


def test_what_is_beyond_the_rate_comes_back_when_it_may_start(made: list[Bench]) -> None:
    """Of both processes together; it uses no attempt, and isn't counted among what waited too long."""
    bench = bench_of(made, rate="10/h")
    assert isinstance(bench.process(0), Acked)
    snoozed = bench.process(1)
    assert isinstance(snoozed, Snoozed)
    assert snoozed.why is Why.LIMITED
    assert "task t" in snoozed.reason
    assert 6 * MINUTE <= snoozed.delay <= 9 * MINUTE
    assert bench.runs == [""]
    bench.clock.advance(6 * MINUTE)
    assert isinstance(bench.process(1), Acked)


def test_the_limit_that_is_reached_is_named(made: list[Bench]) -> None:
    """Of several, that which is in the way."""
    bench = bench_of(made, at_once=5, queue_rates={"default": "1/h"})
    outcomes = [bench.process(0) for _ in range(2)]
    assert ["Acked", "Snoozed"] == [one.__class__.__name__ for one in outcomes]
    assert "the limit of queue default is reached" == getattr(outcomes[1], "reason", "")


def test_a_turn_within_a_second_is_waited_for(made: list[Bench]) -> None:
    """A copy costs more."""
    bench = bench_of(made, rate="2/s")
    bench.process()
    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(bench.process()))
    thread.start()
    bench.clock.until_waiting()
    assert bench.runs == [""]
    bench.clock.advance(SECOND / 2)
    thread.join(60)
    assert [ACKED] == outcomes


def test_of_those_that_wait_each_has_a_turn_of_its_own(made: list[Bench]) -> None:
    """One after the other."""
    bench = bench_of(made, rate="4/s")
    bench.process()
    outcomes: list[Any] = []
    threads = [threading.Thread(target=lambda: outcomes.append(bench.process())) for _ in range(2)]
    for started, thread in enumerate(threads, 1):
        thread.start()
        bench.clock.until_waiting(started)
    for ended in (1, 2):
        bench.clock.advance(SECOND / 4)
        until(lambda: len(outcomes) == ended)  # noqa: B023 - called before the next round
        bench.clock.until_waiting(2 - ended)
    assert [ACKED, ACKED] == outcomes


def test_each_key_has_its_own_rate(made: list[Bench]) -> None:
    """One customer's calls don't hold up another's."""
    bench = bench_of(made, rate=Rate("10/h", key="{customer}"))
    assert [bench.process(customer=name).__class__ for name in ("ana", "ana", "ben")] == [Acked, Snoozed, Acked]


def test_a_task_without_a_limit_is_not_looked_at(made: list[Bench]) -> None:
    """It begins as ever."""
    bench = bench_of(made)
    bench.app.task("limited", rate="1/h")(lambda: None)
    bench.processors = [processor_of(bench.app, no_time_limit, limited=True, heartbeat=False)]
    assert [ACKED, ACKED] == [bench.process(), bench.process()]


def test_a_key_is_claimed_after_the_limit(made: list[Bench]) -> None:
    """And its claim ends with the run; what only waits for its turn claims nothing."""
    bench = bench_of(made, rate="10/h", idempotency_key="k{customer}", keep_result=MINUTE)
    assert ACKED == bench.process(customer="ana")
    assert isinstance(bench.process(customer="ben"), Snoozed)
    bench.clock.advance(6 * MINUTE)
    assert ACKED == bench.process(customer="ben")
    bench.clock.advance(6 * MINUTE)
    bench.process(customer="ana")
    assert bench.runs == ["ana", "ben"]


def test_a_failure_is_a_failure(made: list[Bench]) -> None:
    """Whatever it waited for before."""
    assert isinstance(bench_of(made, rate="10/h").process(fail=True), Retried)


def test_while_the_store_is_down_nothing_starts(made: list[Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits, as what needs the store for its key does."""
    bench = bench_of(made, rate="10/h")

    def read(name: str) -> None:
        raise StoreUnavailable("no route")

    monkeypatch.setattr(bench.store.notes, "read", read)
    snoozed = bench.process()
    assert isinstance(snoozed, Snoozed)
    assert snoozed.why is Why.STORE_DOWN
    assert bench.runs == []


def test_no_more_run_at_once_than_there_are_seats(made: list[Bench]) -> None:
    """A seat is given back at the end of the run, so that another process has it at once."""
    bench = bench_of(made, at_once=1)
    inside: list[Any] = []
    task = bench.app.runtime.handlers["t"]
    task.function = lambda customer="", fail=False: inside.append(bench.process(1)) if not inside else None
    thread = threading.Thread(target=lambda: inside.append(bench.process(0)))
    thread.start()
    bench.clock.until_waiting()
    bench.clock.advance(SECOND)
    thread.join(60)
    assert [Snoozed, Acked] == [type(one) for one in inside]
    assert inside[0].why is Why.LIMITED
    assert isinstance(bench.process(1), Acked)


@pytest.mark.parametrize("error", [None, StoreUnavailable("no route")], ids=repr)
def test_a_limit_is_asked_for_by_one_at_a_time(
    made: list[Bench], monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    """Or answers would be noted in another order than the store gave them. A seat goes back after that."""
    bench = bench_of(made, at_once=2)
    running, ends, answers = (threading.Event() for _ in range(3))
    asking: list[int] = []
    overlaps: list[int] = []
    whole = StoredRegister.set

    def run(customer: str = "", fail: bool = False) -> None:
        if customer == "first":
            running.set()
            ends.wait(60)

    def ask(register: StoredRegister, count: int) -> int:
        overlaps.extend(asking)
        asking.append(count)
        try:
            if running.is_set() and not answers.is_set():
                answers.wait(60)
                if error is not None:
                    raise error
            return whole(register, count)
        finally:
            asking.remove(count)

    bench.app.runtime.handlers["t"].function = run
    monkeypatch.setattr(StoredRegister, "set", ask)
    outcomes: list[Any] = []
    threads = [
        threading.Thread(target=lambda name=name: outcomes.append(bench.process(customer=name)))  # type: ignore[misc]
        for name in ("first", "second")
    ]
    threads[0].start()
    assert running.wait(60)
    threads[1].start()
    until(lambda: bool(asking))
    ends.set()
    until(lambda: len(asking) > 1 or bench.clock.waiting == 1)  # the first gives back its seat, or waits to do so
    answers.set()
    for thread in threads:
        thread.join(60)
    assert overlaps == []
    assert {type(one) for one in outcomes} == ({Acked} if error is None else {Acked, Snoozed})
    if error is None:
        assert StoredRegister(lambda: bench.store.notes, "task t", 2).set(2) == 2


def test_a_seat_is_renewed_while_its_run_lasts(made: list[Bench]) -> None:
    """However long that is; by the thread that renews claims."""
    bench = bench_of(made, at_once=1)
    processor = processor_of(bench.app, no_time_limit, limited=True)
    others: list[int] = []

    def long(customer: str = "", fail: bool = False) -> None:
        notes = bench.store.notes
        for _ in range(6):
            noted = notes.read("at once task t")
            bench.clock.until_waiting()
            bench.clock.advance(RENEW_AFTER)
            until(lambda: noted is not None and notes.read("at once task t").version != noted.version)  # type: ignore[union-attr]  # noqa: B023 - it is there, and called before the next round
        others.append(StoredRegister(lambda: notes, "task t", 1).set(1))

    bench.app.runtime.handlers["t"].function = long
    assert isinstance(processor.process(bench.delivery()), Acked)
    assert others == [0]
    until(lambda: bench.clock.advance(MINUTE) or not bench.clock.waiting)  # the thread ends


def test_a_seat_that_the_rate_leaves_unused_goes_back(made: list[Bench]) -> None:
    """At once: what was put off holds nothing."""
    bench = bench_of(made, at_once=1, rate="10/h")
    assert isinstance(bench.process(0), Acked)
    assert isinstance(bench.process(1), Snoozed)
    assert StoredRegister(lambda: bench.store.notes, "task t", 1).set(1) == 1


def test_what_is_not_run_leaves_its_seat(made: list[Bench]) -> None:
    """Another delivery of its key is at work: what waits for that holds up no other."""
    bench = bench_of(made, at_once=1, idempotency_key="k{customer}")
    key = ClaimKey("t", "kana")
    bench.store.claim(key, owner="another", lease=MINUTE, fingerprint=None, keep=MINUTE)
    waits = bench.process(0, customer="ana")
    assert isinstance(waits, Snoozed)
    assert waits.why is Why.CLAIMED
    assert isinstance(bench.process(1, customer="ben"), Acked)


def test_an_interrupted_run_leaves_its_seat(made: list[Bench]) -> None:
    """Also where it says nothing of its task."""
    bench = bench_of(made, at_once=1)

    task = bench.app.runtime.handlers["t"]

    def interrupted(customer: str = "", fail: bool = False) -> None:
        raise KeyboardInterrupt

    whole, task.function = task.function, interrupted
    with pytest.raises(KeyboardInterrupt):
        bench.process(0)
    task.function = whole
    assert isinstance(bench.process(1), Acked)


def test_a_breaker_opens_for_all_of_its_process(made: list[Bench]) -> None:
    """What comes meanwhile is put off until the pause is over."""
    bench = bench_of(made, breaker=Breaker(failures=2, pause=MINUTE))
    assert [Retried, Retried, Snoozed] == [type(bench.process(fail=True)) for _ in range(3)]
    assert len(bench.runs) == 2
    bench.clock.advance(MINUTE)
    assert isinstance(bench.process(), Acked)
    assert isinstance(bench.process(), Acked)


def test_a_run_from_before_a_breaker_opened_is_not_the_one_that_tries(made: list[Bench]) -> None:
    """Its failure doesn't have the others wait for longer."""
    bench = bench_of(made, breaker=Breaker(failures=2, pause=MINUTE))
    runs = LimitedRuns(bench.app, StoreClaims(bench.app, heartbeat=None), AppLimits(bench.app), heartbeat=None)
    handler, failed = bench.app.runtime.handlers["t"], Retried(delay=SECOND, reason="x")

    def begun() -> Any:
        delivery = bench.delivery()
        assert delivery.message is not None
        return runs.begin(handler, delivery.message, delivery, threading.Event(), None)

    early = begun()
    for _ in range(2):
        begun().end(failed, None)
    bench.clock.advance(MINUTE)
    late = begun()
    early.end(failed, None)
    late.give_up()
    assert isinstance(begun(), LimitedBegun)


@pytest.mark.parametrize(
    ("outcome", "failed"),
    [
        (ACKED, False),
        (Retried(delay=SECOND, reason="x"), True),
        (Retried(delay=SECOND, reason="x", counted=False), None),
        (Snoozed(delay=SECOND, reason="x"), None),
        (DeadLettered(reason="x", failure=Failure.of("x")), True),
    ],
)
def test_what_says_that_a_run_failed(outcome: Any, failed: bool | None) -> None:
    """Waiting says nothing."""
    assert has_failed(outcome) is failed
