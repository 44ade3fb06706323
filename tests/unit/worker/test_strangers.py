"""How a worker holds back for messages of tasks that it doesn't know: alone, and as a whole worker on each profile."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from cloudq.app import App
from cloudq.core.driver import Capabilities
from cloudq.core.failure import Failure
from cloudq.core.outcome import ACKED, DeadLettered, Snoozed, Why
from cloudq.drivers.memory import MemoryDriver
from cloudq.tasks.context import Context
from cloudq.testing import profiles
from cloudq.testing.clock import FakeClock
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from cloudq.worker.strangers import MOST_IN_A_ROW, ROUND, Strangers
from tests.ids import shown
from tests.unit.worker.fakes import Running, delivery, running, until

HOUR = timedelta(hours=1)
ZERO = timedelta(0)
AWAY = Snoozed(delay=HOUR, why=Why.UNKNOWN_TASK, reason="unknown")
PROFILES = [None, profiles.sqs_like, profiles.service_bus_like, profiles.cloud_tasks_like]


class Queue:
    """One queue's strangers on a fake clock."""

    def __init__(self, *, patience: timedelta = HOUR, burst: bool = False) -> None:
        self.clock = FakeClock()
        self.strangers = Strangers(
            "q", {"mine"}, patience=patience, burst=burst, found="shop.tasks, in /srv/shop", clock=self.clock
        )

    def bring(self, *tasks: str) -> None:
        self.strangers.note([delivery(self.clock, task=task) for task in tasks])


@pytest.fixture
def queue() -> Queue:
    return Queue()


# ── what is asked for ────────────────────────────────────────────────────────────────────────────────────


def test_a_queue_is_asked_for_few_until_it_has_brought_a_known_one(queue: Queue) -> None:
    """So that a worker in the wrong folder sends no more than ten round at first, however many slots it has."""
    assert MOST_IN_A_ROW == queue.strangers.limit(500)
    queue.bring("theirs", "theirs")
    assert MOST_IN_A_ROW - 2 == queue.strangers.limit(500)
    queue.bring("theirs", "mine")
    assert 500 == queue.strangers.limit(500)
    queue.bring("mine", "theirs")
    assert MOST_IN_A_ROW - 1 == queue.strangers.limit(500)
    assert 3 == queue.strangers.limit(3)


def test_ten_in_a_row_and_no_known_one(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    """One a minute from then on, and one line with the names seen, those known, and how the app was found."""
    queue.bring(*["theirs"] * 8)
    queue.bring("other")
    assert (ZERO, None) == (queue.strangers.rest(), queue.strangers.problem)
    with caplog.at_level(logging.INFO):
        queue.bring("theirs")
        queue.bring("theirs")
        queue.bring()
    assert (1, ROUND) == (queue.strangers.limit(500), queue.strangers.rest())
    queue.clock.advance(ROUND)
    assert ZERO == queue.strangers.rest()
    [said] = caplog.messages
    assert "queue q: 10 messages in a row are of tasks that this program doesn't know (theirs, other)" in said
    assert "it knows mine, and was found as shop.tasks, in /srv/shop" in said
    problem = "queue q: its messages are of tasks that this program doesn't know: theirs, other"
    assert problem == queue.strangers.problem


def test_a_clock_that_is_set_changes_no_rest(queue: Queue) -> None:
    """A minute among strangers is a minute that passes, whatever the wall clock says."""
    queue.bring(*["theirs"] * 10)
    for step in (HOUR, -2 * HOUR):
        queue.clock.step(step)
        assert ROUND == queue.strangers.rest()
    queue.clock.advance(ROUND)
    assert ZERO == queue.strangers.rest()


def test_a_known_one_ends_it(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    """The queue is polled as before; ten more begin it again."""
    queue.bring(*["theirs"] * 10)
    with caplog.at_level(logging.INFO):
        queue.bring("theirs", "mine")
    assert (ZERO, None, 500) == (queue.strangers.rest(), queue.strangers.problem, queue.strangers.limit(500))
    assert ["queue q has messages of known tasks again, and is polled as before"] == caplog.messages[1:]
    queue.bring(*["theirs"] * 10)
    assert queue.strangers.problem


def test_a_known_one_among_them_is_enough(queue: Queue) -> None:
    """Queues that two programs share work, if slowly."""
    for _ in range(10):
        queue.bring(*["theirs"] * 9)
        assert None is queue.strangers.problem
        queue.bring("mine")


def test_what_cannot_be_read_says_nothing(queue: Queue) -> None:
    """It is neither ours nor theirs."""
    queue.bring(*["theirs"] * 9)
    broken = delivery(queue.clock)
    queue.strangers.note([type(broken)(**{name: getattr(broken, name) for name in ("queue", "id", "lease", "body")},
                                       message=None, undecodable="no", attempt=1, deliveries=1)])  # fmt: skip
    assert (None, 1) == (queue.strangers.problem, queue.strangers.limit(500))


def test_one_that_comes_again_and_again_is_one(queue: Queue) -> None:
    """On a quiet queue whose others are known, a single stranger makes no worker unready."""
    queue.bring("mine")
    alone = delivery(queue.clock, task="theirs")
    for _ in range(20):
        queue.strangers.note([alone])
    assert None is queue.strangers.problem


def test_without_patience_nothing_is_held_back(caplog: pytest.LogCaptureFixture) -> None:
    """They are dead at once, so none comes round."""
    queue = Queue(patience=ZERO)
    queue.bring(*["theirs"] * 50)
    assert (500, ZERO, None) == (queue.strangers.limit(500), queue.strangers.rest(), queue.strangers.problem)
    assert [] == caplog.messages


def test_what_is_left_is_what_went_back_and_did_not_end(queue: Queue) -> None:
    """A line with how many and of which names."""
    first, second, mine = (delivery(queue.clock, task=task) for task in ("theirs", "theirs", "mine"))
    for one in (first, second, mine):
        queue.strangers.note_end(one, AWAY)
    queue.strangers.note_end(second, AWAY)
    assert "queue q: 2 messages of unknown tasks went back, theirs" == queue.strangers.left
    queue.strangers.note_end(first, DeadLettered(reason="", failure=Failure(reason="")))
    assert "queue q: 1 message of unknown tasks went back, theirs" == queue.strangers.left
    queue.strangers.note_end(second, ACKED)
    assert None is queue.strangers.left


# ── a whole worker ───────────────────────────────────────────────────────────────────────────────────────


class WatchedClock(FakeClock):
    """Counts the waits that were begun, by what is waited on."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[threading.Condition] = Counter()

    def wait(self, condition: threading.Condition, timeout: timedelta | None) -> bool:
        self.waits[condition] += 1
        return super().wait(condition, timeout)


class Place:
    """A backend with a profile, and two programs that share it."""

    def __init__(self, profile: Callable[[str], Capabilities] | None) -> None:
        self.clock = WatchedClock()
        self.driver = MemoryDriver(clock=self.clock, capabilities=profile)
        self.ran: list[tuple[str, int]] = []
        self.shop, self.bank = self.program("shop"), self.program("bank")

    def program(self, name: str, **settings: object) -> App:
        app = App("memory://", **settings)  # type: ignore[arg-type]  # any of its settings

        @app.task(f"{name}.work", queue="q")
        def work(context: Context) -> None:
            self.ran.append((name, context.attempt))

        @app.task(f"{name}.step", queue="q.fifo", ordering_key="{key}")
        def step(key: str) -> None:
            self.ran.append((key, 0))

        return app

    def burst(self, app: App, queue: str = "q") -> int:
        with app.using(self.driver.share(), clock=self.clock):
            return Worker(app, WorkerSettings(queues={queue: 1}, burst=True, lease=timedelta(minutes=2))).run()

    def send(self, app: App, task: str, count: int = 1, **options: object) -> None:
        with app.using(self.driver.share(), clock=self.clock):
            for _ in range(count):
                app.send(task, {}, **options)  # type: ignore[arg-type]  # any of its options

    def dead(self) -> list[str]:
        found = [*self.driver.dead_letters("q").peek(limit=10)]
        with self.shop.using(self.driver.share(), clock=self.clock):
            found = found or [*self.shop.queue("q").dead_letters.peek(limit=10)]
        return [one.failure.reason for one in found if one.failure]


@pytest.fixture(params=PROFILES, ids=shown)
def place(request: pytest.FixtureRequest) -> Place:
    return Place(request.param)


def test_two_programs_on_one_queue(place: Place) -> None:
    """Each runs its own, whoever sees them first, in its first attempt; the burst that left some says so by 1."""
    for _ in range(4):
        place.send(place.shop, "shop.work")
        place.send(place.bank, "bank.work")
    assert 1 == place.burst(place.shop)
    assert [("shop", 1)] * 4 == place.ran
    place.clock.advance(timedelta(seconds=7))
    assert 0 == place.burst(place.bank)
    assert [("bank", 1)] * 4 == place.ran[4:]
    assert [] == place.dead()


def test_what_nobody_knows_ends_as_a_dead_letter(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Once the patience is over, with its name and the nearest; until then a burst that met it says so, and fails."""
    place.send(App("memory://"), "shop.wrok", queue="q")
    began, met = place.clock.now(), 0
    while not place.dead():
        caplog.clear()
        if place.burst(place.shop):
            met += 1
            left = "the burst ends with work left: queue q: 1 message of unknown tasks went back, shop.wrok"
            assert left in caplog.text
        place.clock.advance(timedelta(minutes=1))
        assert place.clock.now() - began < 2 * HOUR
    assert place.clock.now() - began >= HOUR
    assert 5 <= met <= 22
    [reason] = place.dead()
    assert reason.startswith("unknown task 'shop.wrok': did you mean 'shop.work'?")


@pytest.mark.parametrize("profile", [None, profiles.sqs_like, profiles.sqs_fifo_like], ids=shown)
def test_other_keys_go_on(profile: Callable[[str], Capabilities] | None) -> None:
    """The unknown head of one ordering key holds up its own key, in its order, and no other."""
    place = Place(profile)
    with place.shop.using(place.driver.share(), clock=place.clock):
        place.shop.send("bank.step", {"key": "a"}, queue="q.fifo", ordering_key="a")
        place.shop.send("shop.step", {"key": "a"}, queue="q.fifo", ordering_key="a")
        for key in "bcd":
            place.shop.send("shop.step", {"key": key}, queue="q.fifo", ordering_key=key)
    assert 1 == place.burst(place.shop, "q.fifo")
    assert ["b", "c", "d"] == sorted(key for key, _ in place.ran)
    place.clock.advance(timedelta(seconds=7))
    place.burst(place.bank, "q.fifo")
    place.clock.advance(timedelta(seconds=7))
    place.burst(place.shop, "q.fifo")
    assert ["a", "a"] == [key for key, _ in place.ran[3:]]


class Counted:
    """A worker of the shop in the bank's folder, on a fake clock, whose settlements are counted."""

    def __init__(self, place: Place, worker: Running) -> None:
        self.place = place
        self.worker = worker

    def advance(self, delta: timedelta) -> None:
        """Lets time pass, and the poller do what it does then, until it pauses again."""
        [poller] = self.worker.worker._watchdog.pollers
        clock, pause = self.place.clock, poller._changed
        until(lambda: clock.waits[pause])
        before = clock.waits[pause]
        clock.advance(delta)
        # One that was counted may begin after that step: no time passes, but it ends.
        until(lambda: clock.waits[pause] > before or clock.advance(ZERO))

    def rewritten(self) -> int:
        snapshot = self.worker.worker.snapshot()
        return snapshot.snoozed + snapshot.dead_lettered


@pytest.fixture
def wrong_folder(place: Place) -> Iterator[Counted]:
    place.send(place.bank, "bank.work", 300)
    with (
        place.shop.using(place.driver.share(), clock=place.clock),
        running(place.shop, queues={"q": 1}, concurrency=50, lease=timedelta(minutes=2)) as worker,
    ):
        yield Counted(place, worker)


def test_a_worker_in_the_wrong_folder_leaves_nearly_all_alone(wrong_folder: Counted) -> None:
    """In ten minutes it rewrites 40 messages at most, however many wait and however many slots it has."""
    until(lambda: wrong_folder.rewritten() == 10)
    for minute in range(1, 11):
        for _ in range(12):
            wrong_folder.advance(timedelta(seconds=5))
        until(lambda minute=minute: wrong_folder.rewritten() >= 10 + minute)
    assert wrong_folder.rewritten() <= 40
    assert [] == wrong_folder.place.dead()


def test_a_burst_in_the_wrong_folder_ends(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """By 1, with ten rewritten, and it says that there may be more."""
    place.send(place.bank, "bank.work", 300)
    assert 1 == place.burst(place.shop)
    assert "10 messages of unknown tasks went back, and more were not looked at: bank.work" in caplog.text
    assert "(bank.work); it knows shop.step, shop.work, and was found as" in caplog.text
    assert 0 == len(place.ran)


def test_what_is_not_believed_makes_no_stranger() -> None:
    """Without the signature that is required it is dead-lettered: nobody has a queue polled once a minute by it."""
    clock = FakeClock()
    strangers = Strangers("q", ["mine"], patience=HOUR, burst=False, found="x", clock=clock, believed=lambda _: False)
    strangers.note([delivery(clock, task="theirs") for _ in range(3 * MOST_IN_A_ROW)])
    assert (MOST_IN_A_ROW, ZERO, None) == (strangers.limit(500), strangers.rest(), strangers.problem)
