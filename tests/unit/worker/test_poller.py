"""One poller: what it asks for, what it does with what comes, and that nothing ends it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from queue import SimpleQueue

import pytest

from cloudq.core.delivery import Delivery
from cloudq.errors import BackendUnavailable, QueueNotFound, QueuePaused, UnsupportedError
from cloudq.running.held import HeldLease
from cloudq.running.runs import Runs
from cloudq.testing.clock import FakeClock
from cloudq.worker import poller as poller_module
from cloudq.worker.intake import Intake
from cloudq.worker.open_polls import EARNED_BY, Reach
from cloudq.worker.poller import FIRST_PAUSE, PAUSE_AFTER_FAST, PAUSED, SLICE, Poller
from cloudq.worker.strangers import ROUND, Strangers
from tests.unit.worker.fakes import NoThreads, delivery, until

LEASE = timedelta(seconds=120)
WAIT = timedelta(seconds=8)
SHORT = timedelta(milliseconds=20)


class Backend:
    """A backend whose receives are answered by the test, one by one."""

    def __init__(self, wait: timedelta = WAIT) -> None:
        self.wait = wait
        self.asked: list[int] = []
        self._answers: list[Sequence[Delivery] | BaseException] = []
        self._changed = threading.Condition()

    def answer(self, what: Sequence[Delivery] | BaseException) -> None:
        """The next receive brings, or raises, this."""
        with self._changed:
            self._answers.append(what)
            self._changed.notify_all()

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        assert ("q", self.wait, LEASE) == (queue, wait, lease)
        with self._changed:
            self.asked.append(limit)
            assert self._changed.wait_for(lambda: self._answers, 20)
            what = self._answers.pop(0)
        if isinstance(what, BaseException):
            raise what
        return what


class NotedClock(FakeClock):
    """Notes how long it is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[timedelta] = []

    def wait(self, condition: threading.Condition, timeout: timedelta | None) -> bool:
        if timeout is not None:
            self.waits.append(timeout)
        return super().wait(condition, timeout)


class Bench:
    """A poller, on a fake clock, between a backend and an intake."""

    def __init__(self, wait: timedelta = WAIT, *, burst: bool = False) -> None:
        self.clock = NotedClock()
        self.backend = Backend(wait)
        self.intake = Intake(
            {"q": 1}, leases={"q": LEASE}, slots=10, runs=Runs(self.clock), clock=self.clock, burst=burst
        )
        self.given_back: list[HeldLease] = []
        self.arrived = 0
        self.hooks: dict[str, Callable[[], None]] = {}
        """Called within `attach`, `arrived` and `give_back`, to raise something."""
        self.strangers = Strangers(
            "q", {"noop"}, patience=timedelta(hours=1), burst=burst, found="app", clock=self.clock
        )
        self.poller = Poller(
            "q",
            self.backend,  # type: ignore[arg-type]  # a poller only receives
            intake=self.intake,
            keeper=self,  # type: ignore[arg-type]  # a poller only attaches
            arrived=self._arrive,
            give_back=self._give_back,
            strangers=self.strangers,
            wait=wait,
            lease=LEASE,
            clock=self.clock,
        )

    def attach(self, deliveries: Sequence[Delivery]) -> list[HeldLease]:
        self._hook("attach")
        return [HeldLease(one, self.clock.elapsed(), extendable=True) for one in deliveries]

    def _arrive(self) -> None:
        self._hook("arrived")
        self.arrived += 1

    def _give_back(self, held: Sequence[HeldLease]) -> None:
        self._hook("give_back")
        self.given_back += held

    def _hook(self, name: str) -> None:
        if name in self.hooks:
            self.hooks.pop(name)()

    def polls(self, count: int) -> None:
        """Waits until it has begun that many polls."""
        until(lambda: len(self.backend.asked) >= count)

    def deliver(self, count: int = 1) -> list[Delivery]:
        """The next receive brings that many."""
        deliveries = [delivery(self.clock) for _ in range(count)]
        self.backend.answer(deliveries)
        return deliveries

    def close(self) -> None:
        """Ends the poller."""
        self.intake.close()
        self.poller.stop()
        self.backend.answer([])
        until(lambda: not self.poller.alive)


def raise_once(monkeypatch: pytest.MonkeyPatch, what: object, name: str) -> None:
    """The next call of it raises, and none after that."""
    call = getattr(what, name)

    def slip(*_: object) -> None:
        monkeypatch.setattr(what, name, call)
        raise KeyError("a slip")

    monkeypatch.setattr(what, name, slip)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_it_asks_for_what_the_intake_wants_and_hands_over_what_comes(bench: Bench) -> None:
    """Ten slots: ten are asked for, then as many as are left; each arrival is told to the executor."""
    bench.poller.start()
    bench.polls(1)
    deliveries = bench.deliver(3)
    bench.polls(2)
    assert [10, 7] == bench.backend.asked
    assert 1 == bench.arrived
    assert deliveries[0] is getattr(bench.intake.take(), "delivery", None)
    assert bench.poller.reached
    assert bench.poller.down is None


def test_what_comes_after_the_intake_is_closed_goes_back(bench: Bench) -> None:
    """It counts as in hand until it is settled, and the poller ends."""
    bench.poller.start()
    bench.polls(1)
    bench.intake.close()
    deliveries = bench.deliver(2)
    until(lambda: not bench.poller.alive)
    assert deliveries == [held.delivery for held in bench.given_back]
    assert 2 == bench.intake.in_hand().settling
    assert 0 == bench.arrived


def test_what_an_abandoned_poll_brings_goes_back(bench: Bench) -> None:
    """It ends, as another one has taken its place; what it had asked for is free at once."""
    bench.poller.start()
    bench.polls(1)
    assert bench.poller.abandon()
    deliveries = bench.deliver(2)
    until(lambda: not bench.poller.alive)
    assert deliveries == [held.delivery for held in bench.given_back]
    assert 2 == bench.intake.in_hand().settling
    assert not bench.poller.abandon(), "there is no poll to abandon"


def test_it_is_overdue_by_what_its_poll_takes_longer_than_its_wait(bench: Bench) -> None:
    """Measured on a clock that nobody sets."""
    bench.poller.start()
    bench.polls(1)
    until(lambda: bench.poller.overdue(bench.clock.elapsed()) == -WAIT)
    bench.clock.step(timedelta(hours=1))
    assert -WAIT == bench.poller.overdue(bench.clock.elapsed())
    bench.clock.advance(WAIT + timedelta(seconds=3))
    assert timedelta(seconds=3) == bench.poller.overdue(bench.clock.elapsed())


@pytest.mark.parametrize("error", [BackendUnavailable("no route"), ValueError("an SDK's slip"), SystemExit(3)], ids=str)
def test_a_failing_backend_is_asked_again_after_a_pause(
    bench: Bench, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a receive raises; each change is logged once."""
    caplog.set_level(logging.INFO)
    bench.poller.start()
    for number in (1, 2):
        bench.backend.answer(error)
        until(lambda number=number: bench.poller._backoff.tries == number)  # type: ignore[misc]  # bound early
        bench.clock.until_waiting(1)
        assert error is bench.poller.down
        assert number == len(bench.backend.asked)
        bench.clock.advance(4 * FIRST_PAUSE)
    bench.deliver(1)
    until(lambda: bench.arrived)
    assert bench.poller.down is None
    assert [
        f"queue q can't be received from, trying again until it can: {error}",
        "queue q can be received from again, after 4 s",
    ] == caplog.messages


def test_a_paused_queue_is_asked_now_and_then_and_is_no_failure(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and so is that it is resumed; the backend counts as reached."""
    caplog.set_level(logging.INFO, "cloudq.worker")
    bench.poller.start()
    for polls in (1, 2):
        bench.polls(polls)
        bench.clock.waits.clear()
        bench.backend.answer(QueuePaused("queue 'q' is paused"))
        until(lambda: bench.clock.waits and bench.clock.waiting)
        assert (True, True, None) == (bench.poller.reached, bench.poller.paused, bench.poller.down)
        bench.clock.advance(PAUSED)
    bench.deliver()
    until(lambda: bench.arrived)
    assert not bench.poller.paused
    assert [
        "queue q is paused: nothing of it is received until `cloudq resume q`",
        "queue q is resumed",
    ] == caplog.messages


@pytest.mark.parametrize(
    ("wait", "took", "pause"),
    [
        (WAIT, WAIT / 2 - SHORT, PAUSE_AFTER_FAST),
        (2 * SHORT, timedelta(0), PAUSE_AFTER_FAST),
        (timedelta(0), SHORT, PAUSE_AFTER_FAST),
        (timedelta(0), timedelta(0), PAUSE_AFTER_FAST),
        (SLICE - SHORT, SHORT, SLICE - 2 * SHORT),  # SQS, which knows whole seconds, makes no wait of less than one
    ],
    ids=str,
)
def test_after_a_poll_that_hardly_waited_there_is_a_pause(wait: timedelta, took: timedelta, pause: timedelta) -> None:
    """Else a service that answers at once would be asked, and paid, without end."""
    bench = Bench(wait)
    with closing(bench):
        bench.poller.start()
        bench.polls(1)
        bench.clock.advance(took)
        bench.backend.answer([])
        until(lambda: bench.clock.waits or len(bench.backend.asked) > 1)
        assert (bench.clock.waits, len(bench.backend.asked)) == ([pause], 1)
        bench.clock.until_waiting(1)
        bench.clock.advance(pause)
        bench.polls(2)


@pytest.mark.parametrize(("wait", "took"), [(WAIT, WAIT), (WAIT, WAIT / 2), (timedelta(0), PAUSE_AFTER_FAST)], ids=str)
def test_after_a_poll_that_waited_there_is_none(wait: timedelta, took: timedelta) -> None:
    """What comes next is started at once."""
    bench = Bench(wait)
    with closing(bench):
        bench.poller.start()
        bench.polls(1)
        bench.clock.advance(took)
        bench.backend.answer([])
        until(lambda: bench.clock.waits or len(bench.backend.asked) > 1)
        assert not bench.clock.waits


def test_a_burst_makes_no_pause() -> None:
    """It ends with the first poll that brings nothing, or is woken by what its tasks send."""
    bench = Bench(timedelta(0), burst=True)
    with closing(bench):
        bench.poller.start()
        bench.backend.answer([])
        until(lambda: bench.clock.waits or not bench.poller.alive)
        assert PAUSE_AFTER_FAST not in bench.clock.waits


def test_each_kind_of_failure_is_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Once, until the queue can be received from again: what is wrong may have become something else."""
    bench.poller.start()
    gone, changed = QueueNotFound("there is no queue 'q'"), UnsupportedError("queue 'q' has sessions")
    for number, error in enumerate((gone, gone, changed, gone, changed), 1):
        bench.backend.answer(error)
        until(lambda number=number: bench.poller._backoff.tries == number)  # type: ignore[misc]  # bound early
        bench.clock.until_waiting(1)
        bench.clock.advance(100 * FIRST_PAUSE)
    assert [f"queue q can't be received from, trying again until it can: {error}" for error in (gone, changed)] == (
        caplog.messages
    )


def test_a_clock_that_is_set_back_lengthens_no_pause(bench: Bench) -> None:
    """A pause after a failure is a span: set back by an hour, the clock keeps no queue unpolled for an hour."""
    bench.poller.start()
    bench.backend.answer(BackendUnavailable("no route"))
    bench.polls(1)
    bench.clock.until_waiting(1)
    bench.clock.step(-timedelta(hours=1))
    bench.clock.advance(4 * FIRST_PAUSE)
    bench.polls(2)


def test_a_pause_ends_though_the_machine_was_suspended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that passes while the machine sleeps counts: a second after it wakes the pause is over."""
    monkeypatch.setattr(poller_module, "FIRST_PAUSE", timedelta(hours=1))
    bench.hooks["attach"] = lambda: (_ for _ in ()).throw(ValueError("once"))
    bench.poller.start()
    bench.polls(1)
    bench.deliver()
    bench.clock.until_waiting(1)
    assert [timedelta(seconds=1)] == bench.clock.waits, "a longer wait would sleep through it"
    bench.clock.suspend(timedelta(hours=1))
    bench.clock.advance(timedelta(seconds=1))
    bench.polls(2)


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), SystemExit(3)], ids=str)
@pytest.mark.parametrize("where", ["attach", "arrived"])
def test_nothing_that_is_raised_in_between_ends_it(
    bench: Bench, where: str, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of the keeper's or the executor's is logged, and after a pause the queue is polled on."""

    def slip() -> None:
        raise error

    bench.hooks[where] = slip
    bench.poller.start()
    bench.polls(1)
    bench.deliver()
    until(lambda: bench.clock.waiting or not bench.poller.alive)
    assert bench.poller.alive
    assert ["the poller of queue q hit an internal error, and goes on"] == caplog.messages
    bench.clock.advance(FIRST_PAUSE)
    bench.deliver()
    until(lambda: bench.arrived == 1)


@pytest.mark.parametrize("where", ["note", "offer"])
def test_what_could_not_be_taken_in_goes_back(
    bench: Bench, where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All that came with it: else its leases are extended for ever, and nothing of it runs. The queue is polled on."""
    raise_once(monkeypatch, bench.strangers if where == "note" else bench.intake, where)
    bench.poller.start()
    bench.polls(1)
    deliveries = bench.deliver(3)
    until(lambda: bench.clock.waiting or not bench.poller.alive)
    assert ["the poller of queue q hit an internal error, and goes on"] == caplog.messages
    assert deliveries == [held.delivery for held in bench.given_back]
    assert 3 == bench.intake.in_hand().settling, "a burst waits for them"
    assert [] == bench.intake.polled()
    bench.clock.advance(FIRST_PAUSE)
    bench.deliver()
    until(lambda: bench.arrived == 1)


def test_a_logging_filter_that_raises_does_not_end_it(bench: Bench) -> None:
    """Log lines run code of the app's: what it raises is reported on stderr, and costs nothing else."""

    def filter_(_: logging.LogRecord) -> bool:
        raise SystemExit(3)

    logging.getLogger("cloudq.worker").addFilter(filter_)
    try:
        bench.poller.start()
        bench.polls(1)
        bench.backend.answer(BackendUnavailable("no route"))
        bench.clock.until_waiting(1)
        bench.clock.advance(FIRST_PAUSE)
        bench.polls(2)
        bench.deliver()
        until(lambda: bench.arrived)
    finally:
        logging.getLogger("cloudq.worker").removeFilter(filter_)


def test_among_strangers_it_polls_for_one_a_minute(bench: Bench) -> None:
    """Once ten in a row were of tasks that the program doesn't know, it waits between polls, and asks for one."""
    bench.poller.start()
    bench.polls(1)
    bench.backend.answer([delivery(bench.clock, task="theirs") for _ in range(10)])
    until(lambda: bench.arrived == 1)
    take_all(bench)  # so that ten slots are free again
    until(lambda: SLICE in bench.clock.waits and bench.clock.waiting)
    bench.clock.advance(ROUND - SLICE)
    until(lambda: bench.clock.waits.count(SLICE) > 1 and bench.clock.waiting)
    assert [10] == bench.backend.asked
    bench.clock.advance(SLICE)
    bench.polls(2)
    assert [10, 1] == bench.backend.asked
    bench.deliver()  # a known one
    bench.polls(3)
    assert [10, 1, 9] == bench.backend.asked


def take_all(bench: Bench) -> None:
    """Starts, ends and settles all that waits."""
    while bench.intake.in_hand().waiting and (held := bench.intake.take()) is not None:
        bench.intake.end(held, succeeded=False)
        bench.intake.note_settled("q")


def test_a_burst_leaves_strangers_alone(bench: Bench) -> None:
    """It asks for none of them any more, and ends."""
    clock = FakeClock()
    intake = Intake({"q": 1}, leases={"q": LEASE}, slots=10, runs=Runs(clock), clock=clock, burst=True)
    strangers = Strangers("q", {"noop"}, patience=timedelta(hours=1), burst=True, found="app", clock=clock)
    strangers.note([delivery(clock, task="theirs") for _ in range(10)])
    bench.intake, bench.poller._intake, bench.poller.strangers = intake, intake, strangers
    bench.poller.start()
    until(intake.finished)
    assert [] == bench.backend.asked


# ── polls beside the own one ─────────────────────────────────────────────────────────────────────────────


class Call:
    """A receive under way, which the test answers."""

    def __init__(self, limit: int, wait: timedelta) -> None:
        self.limit = limit
        self.wait = wait
        self._answer: SimpleQueue[Sequence[Delivery] | BaseException] = SimpleQueue()

    @property
    def beside(self) -> bool:
        """Whether it is none of the poller's own, as it doesn't wait."""
        return not self.wait

    def answer(self, what: Sequence[Delivery] | BaseException) -> None:
        """It brings, or raises, this."""
        self._answer.put(what)

    def result(self) -> Sequence[Delivery]:
        """Waits for the answer."""
        what = self._answer.get(timeout=60)
        if isinstance(what, BaseException):
            raise what
        return what


class Backlog(Bench):
    """A poller of a queue that always has more, ten a receive, for a worker whose tasks take no time."""

    MOST = 8

    def __init__(self) -> None:
        super().__init__()
        self.open: list[Call] = []
        self.made = 0
        self.intake = Intake(
            {"q": 1},
            leases={"q": LEASE},
            reach={"q": Reach(10, self.MOST)},
            slots=10,
            prefetch=500,
            runs=Runs(self.clock),
            clock=self.clock,
        )
        self.poller = Poller(
            "q",
            self,  # type: ignore[arg-type]  # a poller only receives
            intake=self.intake,
            keeper=self,  # type: ignore[arg-type]  # a poller only attaches
            arrived=self._arrive,
            give_back=self._give_back,
            strangers=self.strangers,
            wait=WAIT,
            lease=LEASE,
            clock=self.clock,
            most=self.MOST,
        )

    def receive(self, queue: str, *, limit: int, wait: timedelta, lease: timedelta) -> Sequence[Delivery]:
        assert ("q", LEASE) == (queue, lease)
        call = Call(limit, wait)
        self.made += 1
        self.open.append(call)
        try:
            return call.result()
        finally:
            self.open.remove(call)

    @property
    def own(self) -> list[Call]:
        """The poller's own receive, if it is under way."""
        return [call for call in self.open if not call.beside]

    @property
    def beside(self) -> list[Call]:
        """The receives beside it."""
        return [call for call in self.open if call.beside]

    def full(self) -> list[Delivery]:
        """As many as one receive brings."""
        return [delivery(self.clock) for _ in range(10)]

    def work(self) -> None:
        """Whatever waits is started, ends and is settled."""
        take_all(self)

    def round(self) -> None:
        """Each receive under way brings ten, which are started at once, and its own one is followed by another."""
        until(lambda: self.own)
        for call in sorted(self.open, key=lambda call: call.beside):
            made = self.made
            call.answer(self.full())
            until(lambda call=call: call not in self.open)  # type: ignore[misc]  # bound early
            until(lambda made=made, call=call: call.beside or self.made > made)  # type: ignore[misc]
            self.work()

    def grow(self, count: int) -> None:
        """Until that many are under way."""
        for _ in range(100):
            until(lambda: self.own and len(self.open) == len(self.intake._books.queues["q"].polls))  # none to come
            if len(self.open) >= count:
                break
            self.round()
        until(lambda: len(self.open) == count, what=f"{count} are under way")


@pytest.fixture
def backlog() -> Iterator[Backlog]:
    backlog = Backlog()
    yield backlog
    backlog.intake.close()
    backlog.poller.stop()
    until(lambda: not [call.answer([]) for call in list(backlog.open)] and not backlog.poller.alive)


def test_a_backlog_is_polled_by_several(backlog: Backlog) -> None:
    """As many as the bound says, its own one included; only that waits for messages, and each asks for ten."""
    backlog.poller.start()
    backlog.grow(8)
    backlog.round()
    backlog.round()
    until(lambda: len(backlog.open) == 8)
    assert [WAIT] == [call.wait for call in backlog.own]
    assert [10] * 8 == [call.limit for call in backlog.open]


def test_polls_beside_the_own_one_end_when_little_comes(backlog: Backlog) -> None:
    """The queue runs dry: each costs the call that it was in, and then one poll waits for messages."""
    backlog.poller.start()
    backlog.grow(4)
    made = backlog.made
    [own], beside = backlog.own, backlog.beside
    for call in beside:
        call.answer([])
    until(lambda: [own] == backlog.open)
    own.answer([delivery(backlog.clock)])
    until(lambda: backlog.own and own not in backlog.open)
    assert made + 1 == backlog.made


def test_a_failing_backend_is_asked_by_one(backlog: Backlog, caplog: pytest.LogCaptureFixture) -> None:
    """Eight polls that fail are one line of the log; the own one alone looks, after a pause, whether it works again."""
    caplog.set_level(logging.INFO)
    backlog.poller.start()
    backlog.grow(8)
    for call in list(backlog.open):
        call.answer(BackendUnavailable("no route"))
    until(lambda: not backlog.open and backlog.poller._changed in backlog.clock._waited_on)
    made = backlog.made
    backlog.clock.advance(4 * FIRST_PAUSE)
    until(lambda: backlog.own)
    assert made + 1 == backlog.made
    backlog.round()
    assert [] == backlog.beside
    assert [
        "queue q can't be received from, trying again until it can: no route",
        "queue q can be received from again, after 2 s",
    ] == caplog.messages


def test_one_that_fails_beside_it_says_nothing_about_the_queue(
    backlog: Backlog, caplog: pytest.LogCaptureFixture
) -> None:
    """While the own one works, the queue can be received from; there is one fewer, that is all."""
    backlog.poller.start()
    backlog.grow(2)
    [beside] = backlog.beside
    beside.answer(BackendUnavailable("busy"))
    until(lambda: not backlog.beside)
    assert backlog.poller.down is None
    assert [] == caplog.messages


def test_among_strangers_there_is_one_poll(backlog: Backlog) -> None:
    """Once tasks come that the program doesn't know, no further one begins beside the own one."""
    backlog.poller.start()
    backlog.grow(3)
    [first, second] = backlog.beside
    first.answer([delivery(backlog.clock, task="theirs") for _ in range(10)])
    until(lambda: first not in backlog.open)
    backlog.work()
    second.answer([delivery(backlog.clock, task="theirs") for _ in range(10)])
    until(lambda: not backlog.beside)


def test_what_comes_at_a_stop_goes_back(backlog: Backlog) -> None:
    """All polls under way are waited for, none is followed by another, and all that they bring goes back."""
    backlog.poller.start()
    backlog.grow(8)
    made = backlog.made
    backlog.intake.close()
    backlog.poller.stop()
    assert ["q"] == backlog.intake.polled()
    for call in list(backlog.open):
        call.answer(backlog.full())
    until(lambda: not backlog.open and not backlog.poller.alive)
    until(lambda: len(backlog.given_back) == 80)
    assert ([], made) == (backlog.intake.polled(), backlog.made)
    assert 80 == backlog.intake.in_hand().settling


def test_what_an_abandoned_poll_beside_it_brings_goes_back(backlog: Backlog) -> None:
    """Only those are left that began before the given moment, and what they asked for is free at once."""
    backlog.poller.start()
    backlog.grow(2)
    began, [late] = backlog.clock.elapsed(), backlog.beside
    assert 0 == backlog.poller.abandon_beside(began)
    assert 1 == backlog.poller.abandon_beside(began + timedelta(seconds=1))
    assert 1 == len(backlog.intake._books.queues["q"].polls)
    deliveries = backlog.full()
    late.answer(deliveries)
    until(lambda: len(backlog.given_back) == 10)
    assert deliveries == [held.delivery for held in backlog.given_back]
    assert backlog.own
    assert backlog.poller.alive


def test_with_its_own_poll_all_are_abandoned(backlog: Backlog) -> None:
    """Another poller takes over: nothing that the old one brings is taken any more."""
    backlog.poller.start()
    backlog.grow(3)
    assert backlog.poller.abandon()
    assert [] == backlog.intake.polled()
    for call in list(backlog.open):
        call.answer(backlog.full())
    until(lambda: len(backlog.given_back) == 30 and not backlog.poller.alive)


def test_without_a_thread_for_it_there_is_no_poll_beside_it(backlog: Backlog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The own one goes on, and asks for what nobody else does."""
    backlog.poller.start()
    until(lambda: backlog.own)
    no_threads = NoThreads(monkeypatch)
    for _ in range(EARNED_BY + 1):
        backlog.round()
    assert 1 == no_threads.tries
    assert 1 == len(backlog.intake._books.queues["q"].polls)
    no_threads.exhausted = False
    backlog.grow(2)


def test_an_error_in_a_poll_beside_it_costs_that_poll(backlog: Backlog, caplog: pytest.LogCaptureFixture) -> None:
    """What it asked for is free again, and the queue is polled on."""

    def slip() -> None:
        raise ValueError("a slip")

    backlog.poller.start()
    backlog.grow(2)
    backlog.hooks["attach"] = slip
    [beside] = backlog.beside
    beside.answer(backlog.full())
    until(lambda: caplog.messages)
    assert ["a job of cloudq-poller-q-beside failed"] == caplog.messages
    until(lambda: 1 == len(backlog.intake._books.queues["q"].polls))
    backlog.round()


def test_what_a_poll_beside_it_brought_and_could_not_be_taken_in_goes_back(
    backlog: Backlog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As of its own one."""
    backlog.poller.start()
    backlog.grow(2)
    raise_once(monkeypatch, backlog.intake, "offer")
    [beside] = backlog.beside
    deliveries = backlog.full()
    beside.answer(deliveries)
    until(lambda: caplog.messages)
    assert ["a job of cloudq-poller-q-beside failed"] == caplog.messages
    assert deliveries == [held.delivery for held in backlog.given_back]
