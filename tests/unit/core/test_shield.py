"""`shielded`: an interruption of the thread waits until the function has ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from cloudq.core.shield import interrupter, shielded
from cloudq.errors import TimeLimitExceeded
from tests.unit.core.limit_for_tests import Limit, limited


@pytest.fixture
def limit() -> Iterator[Limit]:
    with limited() as limit:
        yield limit
        assert interrupter() is limit


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
