"""The watchdog: pollers that are late, dead, or never came to life."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.errors import BackendUnavailable, PermissionDenied, QueueNotFound
from cloudq.testing.clock import FakeClock
from cloudq.worker.watchdog import PATIENCE, Watchdog

MOMENT = timedelta(milliseconds=1)


class FakePoller:
    """A poller without a thread."""

    def __init__(self, queue: str, clock: FakeClock) -> None:
        self.queue = queue
        self.alive = self.stopped = self.abandoned = False
        self.polling_since: timedelta | None = None
        self.beside: list[timedelta] = []
        self.no_thread = False
        self.reached = False
        self.down: BaseException | None = None
        self._clock = clock

    def start(self) -> None:
        if self.no_thread:
            raise RuntimeError("can't start new thread")
        self.alive = True

    def stop(self) -> None:
        self.stopped = True

    def overdue(self, now: timedelta) -> timedelta:
        return timedelta(0) if self.polling_since is None else now - self.polling_since

    def abandon(self) -> bool:
        self.abandoned = self.polling_since is not None
        return self.abandoned

    def abandon_beside(self, before: timedelta) -> int:
        late = [since for since in self.beside if since < before]
        self.beside = [since for since in self.beside if since not in late]
        return len(late)


class Kennel:
    """A watchdog with fake pollers."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.made: list[FakePoller] = []
        self.no_thread = False
        pollers = [self.make(queue) for queue in ("a", "b")]
        self.watchdog = Watchdog(pollers, self.make, clock)  # type: ignore[arg-type]  # they quack

    def make(self, queue: str) -> FakePoller:
        poller = FakePoller(queue, self.clock)
        poller.no_thread = self.no_thread
        self.made.append(poller)
        return poller

    @property
    def alive(self) -> list[str]:
        """The queues whose pollers at work have a thread."""
        return [poller.queue for poller in self.watchdog.pollers if poller.alive]

    @property
    def at_work(self) -> list[object]:
        return list(self.watchdog.pollers)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def kennel(clock: FakeClock) -> Kennel:
    return Kennel(clock)


def test_pollers_that_work_are_left_alone(kennel: Kennel) -> None:
    """Nothing is replaced, however often it looks."""
    kennel.watchdog.look()
    kennel.watchdog.start()
    kennel.watchdog.look()
    assert 2 == len(kennel.made)
    assert ["a", "b"] == kennel.alive


def test_an_overdue_poller_is_replaced(kennel: Kennel, caplog: pytest.LogCaptureFixture) -> None:
    """Once its poll has overrun its wait by half a minute."""
    kennel.watchdog.start()
    late = kennel.made[0]
    late.polling_since = kennel.clock.elapsed()
    kennel.clock.advance(PATIENCE)
    kennel.watchdog.look()
    assert 0 == kennel.watchdog.replaced
    kennel.clock.advance(MOMENT)
    kennel.watchdog.look()
    assert (1, True) == (kennel.watchdog.replaced, late.abandoned)
    assert kennel.made[2] in kennel.at_work
    assert kennel.made[2].alive
    assert ["a poll of queue a is overdue by 30 s: it is left behind, and another poller takes over"] == caplog.messages


def test_overdue_polls_beside_the_own_one_are_left_behind(kennel: Kennel, caplog: pytest.LogCaptureFixture) -> None:
    """Each for itself: the poller goes on, and so do those that aren't late."""
    kennel.watchdog.start()
    poller, began = kennel.made[0], kennel.clock.elapsed()
    poller.polling_since = kennel.clock.elapsed()
    poller.beside = [began, began + MOMENT]
    kennel.clock.advance(PATIENCE)
    kennel.watchdog.look()
    assert 2 == len(poller.beside)
    kennel.clock.advance(MOMENT)
    poller.polling_since = kennel.clock.elapsed()
    kennel.watchdog.look()
    assert [began + MOMENT] == poller.beside
    assert (0, False) == (kennel.watchdog.replaced, poller.abandoned)
    assert ["polls beside the one of queue a are overdue: 1 are left behind"] == caplog.messages


def test_a_clock_that_is_set_makes_no_poll_overdue(kennel: Kennel) -> None:
    """Nor one that is suspended any later than it is."""
    kennel.watchdog.start()
    kennel.made[0].polling_since = kennel.clock.elapsed()
    kennel.clock.step(timedelta(hours=1))
    kennel.watchdog.look()
    assert 0 == kennel.watchdog.replaced


@pytest.mark.parametrize("polling", [True, False])
def test_a_dead_poller_is_replaced(kennel: Kennel, polling: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Whether it died in a poll or in between: its queue is polled on, and the log says so."""
    kennel.watchdog.start()
    dead = kennel.made[1]
    dead.alive = False
    dead.polling_since = kennel.clock.elapsed() if polling else None
    kennel.watchdog.look()
    kennel.watchdog.look()
    assert (1, 3) == (kennel.watchdog.replaced, len(kennel.made))
    assert polling is dead.abandoned, "what its poll asked for is free for others again"
    assert ["a", "b"] == sorted(kennel.alive)
    assert ["the poller of queue b has died: another one takes over"] == caplog.messages


def test_a_machine_without_threads_is_asked_again(kennel: Kennel, caplog: pytest.LogCaptureFixture) -> None:
    """A poller for which no thread can be had doesn't stop the others; it is tried at each look, and said once."""
    kennel.made[0].no_thread = kennel.no_thread = True
    kennel.watchdog.start()
    assert ["b"] == kennel.alive
    for _ in range(3):
        kennel.watchdog.look()
        assert ["b"] == kennel.alive
    kennel.no_thread = False
    kennel.watchdog.look()
    assert ["a", "b"] == sorted(kennel.alive)
    assert 0 == kennel.watchdog.replaced, "none of them ever ran"
    assert 1 == len(caplog.messages)
    assert "no thread can be started to poll queue a" in caplog.text
    kennel.made[-1].alive = False
    kennel.watchdog.look()
    assert 1 == kennel.watchdog.replaced


def test_nothing_is_replaced_once_it_stops(kennel: Kennel) -> None:
    """The pollers are told to end, and their end is no death."""
    kennel.watchdog.start()
    kennel.watchdog.stop()
    assert all(poller.stopped for poller in kennel.made)
    for poller in kennel.made:
        poller.alive = False
    kennel.watchdog.look()
    assert 2 == len(kennel.made)
    assert [] == kennel.alive


@pytest.mark.parametrize("error", [QueueNotFound("none"), PermissionDenied("no")])
def test_a_queue_that_never_could_be_received_from(kennel: Kennel, error: Exception) -> None:
    """It is refused while nothing else is known of it; what passes by itself isn't a refusal."""
    one, other = kennel.made
    other.reached = True
    one.down = BackendUnavailable("no route")
    assert not kennel.watchdog.refused()
    one.down = error
    assert kennel.watchdog.refused()


def test_a_queue_that_was_reached_once_is_waited_for(kennel: Kennel) -> None:
    """Somebody takes it away, or the right to it: also if another poller has taken over meanwhile."""
    kennel.watchdog.start()
    one = kennel.made[0]
    one.reached = True
    assert not kennel.watchdog.refused()
    one.alive = False
    kennel.watchdog.look()
    fresh = kennel.made[-1]
    assert fresh is not one
    fresh.down = QueueNotFound("none")
    assert not kennel.watchdog.refused()
