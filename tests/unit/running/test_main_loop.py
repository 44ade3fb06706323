"""A worker's main thread starts it, waits for a reason to end, and shuts it down."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.running.main_loop import MainLoop
from cloudq.running.signals import Wish
from cloudq.testing.clock import FakeClock


class Steps:
    """What the loop asked for, in order."""

    def __init__(self, loop: MainLoop, *codes: int | None) -> None:
        self.done: list[str] = []
        self.started: Callable[[], None] = lambda: None
        self._loop = loop
        self._codes = list(codes)

    def run(self, start: str = "start") -> int:
        return self._loop.run(
            start=lambda: (self._note(start), self.started())[1],
            look=self._look,
            shut_down=lambda: self._note("shut down"),
            close=lambda: self._note("close"),
        )

    def _look(self) -> int | None:
        self._note("look")
        return self._codes.pop(0) if self._codes else None

    def _note(self, step: str) -> None:
        self.done.append(step)
        if step == "breaks":
            raise OSError("no port")


def test_it_ends_once_nothing_is_left_to_do():
    """It looks at each wish to; what the look says is the exit code."""
    loop = MainLoop(SYSTEM_CLOCK)
    steps = Steps(loop, None, 0)
    loop.look_again()
    loop.look_again()
    assert 0 == steps.run()
    assert ["start", "look", "look", "shut down", "close"] == steps.done


def test_it_looks_every_second():
    """At what no event announces."""
    steps = Steps(MainLoop(SYSTEM_CLOCK), 3)
    assert 3 == steps.run()
    assert ["start", "look", "shut down", "close"] == steps.done


@pytest.mark.parametrize(("wish", "code"), [("stop", 0), ("fail", 1)])
def test_it_is_told_to_end(wish, code):
    """By whoever stops it, with 0; by what makes the work impossible, with 1."""
    loop = MainLoop(SYSTEM_CLOCK)
    steps = Steps(loop)
    getattr(loop, wish)()
    assert code == steps.run()
    assert ["start", "shut down", "close"] == steps.done


def test_a_signal_stops_it():
    """In the main thread; what was set before is set again."""
    loop = MainLoop(SYSTEM_CLOCK)
    steps = Steps(loop)
    before = signal.getsignal(signal.SIGTERM)
    timer = threading.Timer(0.05, signal.raise_signal, [signal.SIGTERM])
    steps.started = timer.start  # not before it is caught: the signal would end these tests
    assert 0 == steps.run()
    timer.join()
    assert before == signal.getsignal(signal.SIGTERM)
    assert ["start", "shut down", "close"] == [step for step in steps.done if step != "look"]


def test_what_breaks_is_closed():
    """Whatever is raised at the start: nothing is left behind, and nothing is shut down that didn't start."""
    steps = Steps(MainLoop(SYSTEM_CLOCK))
    with pytest.raises(OSError, match="no port"):
        steps.run("breaks")
    assert ["breaks", "close"] == steps.done


def test_waiting_for_an_end():
    """It has ended, it takes too long, or a second wish to stop comes first."""
    loop = MainLoop(SYSTEM_CLOCK)
    left = [1, 2]

    def going() -> bool:
        loop.look_again()
        return bool(left and left.pop())

    assert loop.wait_while(going, timedelta(seconds=20))
    assert not loop.wait_while(lambda: True, timedelta(milliseconds=20))
    loop.stop()
    assert not loop.wait_while(lambda: True, timedelta(hours=1))


@pytest.mark.parametrize("hour", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_wait_does_not_mind_a_clock_that_is_set(hour):
    """The grace is a span: setting the clock neither ends it nor makes it longer."""
    clock = FakeClock()
    loop = MainLoop(clock)
    looks = 0

    def going() -> bool:
        nonlocal looks
        looks += 1
        loop.look_again()
        if looks == 1:
            clock.step(hour)
        else:
            clock.advance(timedelta(seconds=10))
        return True

    assert not loop.wait_while(going, timedelta(seconds=30))
    assert 5 == looks


def test_the_second_stop_comes_with_the_first():
    """`now` is what two signals are."""
    loop = MainLoop(SYSTEM_CLOCK)
    loop.stop(now=True)
    assert [Wish.STOP, Wish.STOP, None] == [loop.next_wish(timedelta(0)) for _ in range(3)]
