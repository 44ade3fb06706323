"""`InAppContext`: the middleware that has each task run within a Flask application context of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator

from flask import Flask

from cloudq.core.outcome import Acked, DeadLettered, Outcome
from cloudq.core.run_fields import RUN_FIELDS
from cloudq.tasks.context import Context


class NotSucceeded(Exception):
    """What teardown functions are given for a task that a middleware kept from running, or failed, without an error."""


class InAppContext:
    """A context around each attempt, as Flask makes one around each request: `current_app`, `g`, teardown functions.

    It is popped whatever became of the task, and so what is bound to it goes: Flask-SQLAlchemy removes its session.

    Args:
        web_of: Whose context it is, asked for each attempt; `None` for none.
    """

    def __init__(self, web_of: Callable[[], Flask | None]) -> None:
        self._web_of = web_of

    def __call__(self, context: Context) -> Generator[None, Outcome, Outcome]:
        """Around one attempt."""
        del context
        web = self._web_of()
        if web is None:
            return (yield)
        pushed = web.app_context()
        pushed.push()
        try:
            outcome = yield
        except BaseException as interruption:
            pushed.pop(interruption)  # the worker stops, or the run was cancelled: nothing is to be committed
            raise
        pushed.pop(_error_of(outcome))
        return outcome


def _error_of(outcome: Outcome) -> BaseException | None:
    """What teardown functions are to be given: some commit unless it is an error, and a task that failed has one.

    The middleware sees an outcome in its place, as the retry policy has decided by then.
    """
    if isinstance(outcome, Acked):
        return None
    fields = RUN_FIELDS.get()
    raised = None if fields is None else fields.error
    if raised is not None:
        return raised
    return NotSucceeded(outcome.reason if isinstance(outcome, DeadLettered) else f"again later: {outcome.reason}")
