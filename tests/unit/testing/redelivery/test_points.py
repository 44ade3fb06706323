"""Marked points: they do nothing in production, and stop runs under the tester."""

from __future__ import annotations

import subprocess
import sys

import pytest

from cloudq.testing.redelivery import crash_point, crash_points
from cloudq.testing.redelivery.points import Crash, watching


class Notes:
    """A watcher that remembers."""

    all_lines = False

    def __init__(self) -> None:
        self.marked = 0
        self.reached: list[tuple[str, int]] = []

    def reach(self, point: str) -> None:
        self.reached.append((point, self.marked))


@pytest.fixture
def notes():
    """Watches what the test does."""
    watcher = Notes()
    token = watching.set(watcher)
    yield watcher
    watching.reset(token)


def test_without_the_tester_nothing_happens():
    """A task that marks points is called as any function."""
    crash_point("charged")
    with crash_points("the charge"):
        crash_point("within")


def test_a_point_is_reached_by_its_name(notes):
    """The watcher learns of it where it is."""
    crash_point("charged")
    assert [("charged", 0)] == notes.reached


def test_a_block_has_points_around_it_and_marks_what_is_in_it(notes):
    """Lines count only within it."""
    with crash_points("the charge"):
        crash_point("within")
    crash_point("later")
    assert [("before the charge", 0), ("within", 1), ("after the charge", 0), ("later", 0)] == notes.reached


def test_a_block_that_fails_is_left(notes):
    """What follows isn't marked; the error is the task's."""
    with pytest.raises(ValueError, match="declined"), crash_points():
        raise ValueError("declined")
    assert 0 == notes.marked
    assert [("before the block", 0)] == notes.reached


def test_a_crash_is_no_exception_that_a_task_handles():
    """`except Exception` lets it pass, as the end of the process would."""
    assert not issubclass(Crash, Exception)


def test_marks_cost_a_program_next_to_nothing():
    """A program that marks points loads neither the tester nor pytest."""
    program = "import sys; from cloudq.testing import redelivery; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    modules = set(loaded.stdout.split())
    assert "cloudq.testing.redelivery.points" in modules
    assert not modules & {"pytest", "asyncio", "cloudq.app", "cloudq.testing.redelivery.checking"}
