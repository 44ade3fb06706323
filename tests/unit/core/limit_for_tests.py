"""A time limit that is over when a test says so, in the test's own thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from cloudq.core.shield import set_interrupter
from cloudq.errors import TimeLimitExceeded

P = ParamSpec("P")
R = TypeVar("R")


class Limit:
    """An interrupter whose time is over whenever the test says so."""

    def __init__(self) -> None:
        self.over = False
        self.held = 0

    def hold(self) -> None:
        self.held += 1

    def let_go(self) -> None:
        self.held -= 1
        self._raise_if_over()

    def over_in(self, call: Callable[P, R]) -> Callable[P, R]:
        """The call, in which the time is over: it is raised there at once, unless that is shielded."""

        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            self.over = True
            self._raise_if_over()
            return call(*args, **kwargs)

        return run

    def _raise_if_over(self) -> None:
        if self.over and not self.held:
            self.over = False  # it strikes once
            raise TimeLimitExceeded("over")


@contextmanager
def limited() -> Iterator[Limit]:
    """A limit of this thread."""
    limit = Limit()
    before = set_interrupter(limit)
    try:
        yield limit
    finally:
        set_interrupter(before)
