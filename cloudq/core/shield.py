"""`shielded`: what an interruption must not cut in two.

A time limit strikes between any two steps of a handler. A handler may be sending just then, and a lock that is taken
and never freed would stop every other send of the process. So what takes locks is shielded: an interruption that comes
in between is raised at its end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Ended(BaseException):
    """The run is at its end. Raised within it; it leaves the guarded block as a `TimeLimitExceeded`."""

    def __init__(self) -> None:
        super().__init__("the task ran longer than its time limit")


class Interrupter(Protocol):
    """What may interrupt the code of a thread. Called in that thread."""

    def hold(self) -> None:
        """From now on nothing is raised here; what was about to be raised is taken back and kept."""
        ...

    def let_go(self) -> None:
        """Ends the innermost `hold`; at the end of the outermost, raises what was kept."""
        ...


class _Here(threading.local):
    interrupter: Interrupter | None = None


_here = _Here()


def interrupter() -> Interrupter | None:
    """Who may interrupt this thread."""
    return _here.interrupter


def set_interrupter(who: Interrupter | None) -> Interrupter | None:
    """Says who may interrupt this thread from now on. Returns who could before."""
    before, _here.interrupter = _here.interrupter, who
    return before


def shielded(function: Callable[P, R]) -> Callable[P, R]:
    """Lets the function run to its end before an interruption is raised."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        who = _here.interrupter
        if who is None:
            return function(*args, **kwargs)
        who.hold()
        try:
            return function(*args, **kwargs)
        finally:
            who.let_go()

    return run
