"""Middleware: code around a task, and the chain that drives it, one for sync and async tasks alike."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Generic, TypeAlias, TypeVar

from cloudq.core.claiming import KeptResult
from cloudq.core.outcome import ACKED, OUTCOMES, Acked, Outcome
from cloudq.core.safe_log import is_ctrl_c

ContextT = TypeVar("ContextT")

Middleware: TypeAlias = Callable[[ContextT], Generator[None, Outcome, Outcome]]
"""Code around a task: a generator function of its `Context`.

Code before, `outcome = yield`, code after, `return outcome`. Returning an outcome before the yield skips the task.
"""


class Chain(Generic[ContextT]):
    """The middleware around one run. Drives the generators by hand, so that the task between them may be async.

    Args:
        middleware: The first is the outermost.
        context: What each of them sees.
        decide: What becomes of an error, be it the task's or a middleware's.

    Attributes:
        outcome: What became of the delivery so far.
    """

    def __init__(
        self,
        middleware: Sequence[Middleware[ContextT]],
        context: ContextT,
        decide: Callable[[BaseException], Outcome],
    ) -> None:
        self.outcome: Outcome = ACKED
        self._middleware = middleware
        self._context = context
        self._decide = decide
        self._entered: list[Generator[None, Outcome, Outcome]] = []

    def fail(self, error: BaseException) -> None:
        """Decides the outcome for an error that the task, or a middleware, raised."""
        self.outcome = self._decide(error)

    def take(self, result: object) -> object:
        """The task has returned that; it may say that its work was done before, by another delivery."""
        if isinstance(result, KeptResult):
            self.outcome = Acked(ending=result.ending)
        return result

    def enter(self) -> bool:
        """Runs each middleware up to its yield, from the outside in. False if one of them skips the task."""
        for middleware in self._middleware:
            try:
                generator = middleware(self._context)
                _refuse_other(generator, middleware)
                next(generator)
            except StopIteration as stop:
                self._take_outcome(stop.value, middleware)
                return False
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a middleware's error is treated as its task's
                self.fail(error)
                return False
            self._entered.append(generator)
        return True

    def leave(self) -> None:
        """Runs the rest of each middleware that was entered, from the inside out."""
        while self._entered:
            generator = self._entered.pop()
            try:
                generator.send(self.outcome)
            except StopIteration as stop:
                if stop.value is not None:
                    self._take_outcome(stop.value, generator)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a middleware's error is treated as its task's
                self.fail(error)
            else:
                twice = TypeError(f"the middleware {_name(generator)} yielded twice")
                _close(generator, twice)
                self.fail(twice)

    def unwind(self, interruption: BaseException) -> None:
        """The run is interrupted (cancelled, Ctrl-C): each middleware that was entered tidies up, at once."""
        while self._entered:
            _close(self._entered.pop(), interruption)

    def _take_outcome(self, value: object, middleware: object) -> None:
        if isinstance(value, OUTCOMES):
            self.outcome = value
        else:
            self.fail(TypeError(f"the middleware {_name(middleware)} returned {value!r}, not an Outcome"))


def _refuse_other(given: object, middleware: object) -> None:
    """Refuses, by the middleware's name, what it gave if that is no generator."""
    if not isinstance(given, Generator):
        raise TypeError(f"the middleware {_name(middleware)} gave {given!r}, not a generator")


def _close(generator: Generator[None, Outcome, Outcome], reason: BaseException) -> None:
    try:
        generator.close()
    except BaseException as error:
        # It must not take the place of what ended the run, nor keep the other middleware from tidying up.
        if is_ctrl_c(error):
            raise
        reason.add_note(f"the middleware {_name(generator)} raised {_shown(error)} while it was closed")


def _shown(error: BaseException) -> str:
    try:
        return repr(error)
    except BaseException as broken:
        if is_ctrl_c(broken):
            raise
        return type(error).__name__


def _name(thing: object) -> str:
    return getattr(thing, "__qualname__", repr(thing))
