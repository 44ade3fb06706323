"""`shielded`: an interruption of the thread waits until the function has ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from cloudq.core.shield import interrupter, set_interrupter, shielded
from cloudq.errors import TimeLimitExceeded


class Limit:
    """An interrupter whose time is over whenever the test says so."""

    def __init__(self) -> None:
        self.over = False
        self.held = 0

    def hold(self) -> None:
        self.held += 1

    def let_go(self) -> None:
        self.held -= 1
        if self.over and not self.held:
            raise TimeLimitExceeded("over")


@pytest.fixture
def limit() -> Iterator[Limit]:
    limit = Limit()
    before = set_interrupter(limit)
    yield limit
    assert set_interrupter(before) is limit


@shielded
def twice(number: int, *, limit: Limit | None = None) -> int:
    """Doubles a number."""
    if limit is not None:
        limit.over = True
        assert limit.held
    return number * 2


def test_without_an_interrupter_it_is_the_function_itself() -> None:
    """Nothing is held, and its name and its result are its own."""
    assert interrupter() is None
    assert ("twice", 4) == (twice.__name__, twice(2))


def test_an_interruption_is_raised_at_the_end(limit: Limit) -> None:
    """The function runs through; what came meanwhile is raised then."""
    assert 4 == twice(2)
    with pytest.raises(TimeLimitExceeded):
        twice(2, limit=limit)
    assert 0 == limit.held


def test_nested_it_is_raised_at_the_end_of_the_outermost(limit: Limit) -> None:
    """An inner function's end is no place to be cut in two either."""
    ran: list[str] = []

    @shielded
    def outer() -> None:
        twice(2, limit=limit)
        ran.append("to the end")

    with pytest.raises(TimeLimitExceeded):
        outer()
    assert ["to the end"] == ran


def test_a_function_that_raises_lets_go(limit: Limit) -> None:
    """Its own error passes, and the thread can be interrupted again."""

    @shielded
    def fails() -> None:
        raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        fails()
    assert 0 == limit.held


def test_each_thread_has_its_own_interrupter(limit: Limit) -> None:
    """One thread's limit is none of another's."""
    seen: list[object] = []
    thread = threading.Thread(target=lambda: seen.append(interrupter()))
    thread.start()
    thread.join(60)
    assert ([None], limit) == (seen, interrupter())
