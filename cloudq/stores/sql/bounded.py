"""PostgreSQL's silence in bounds: psycopg waits for an answer without an end, and so does libpq."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from time import monotonic
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Engine, event

T = TypeVar("T")

# How often a wait is looked at, in seconds: it ends that much later at most.
_LOOK = 0.1


def bound(engine: Engine, timeout: timedelta) -> None:
    """Has each statement on new connections of the engine end within `timeout`, however silent the server is.

    The system's own bounds don't help where a server takes what is sent and never answers: its machine acknowledges.
    A connection that was given up is closed, since its answer may come yet.

    Args:
        engine: One of psycopg's.
        timeout: For each statement.
    """
    seconds = timeout.total_seconds()

    class Bounded(psycopg.Connection[Any]):
        """Gives up a statement in time."""

        def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **named: Any) -> T:
            """Waits for what a statement's steps wait for."""
            del arguments, named  # how often it looks, and bounds that newer versions know for their own calls
            return super().wait(self._in_time(gen, monotonic() + seconds), _LOOK)

        def _in_time(self, steps: Generator[Any, Any, T], deadline: float) -> Generator[Any, Any, T]:
            try:
                wanted = next(steps)
                while True:
                    ready = yield wanted
                    if not ready and monotonic() >= deadline:
                        self.close()
                        raise psycopg.OperationalError(f"the server was silent for {seconds:g} s")
                    wanted = steps.send(ready)
            except StopIteration as end:
                result: T = end.value
                return result

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, named: Any) -> psycopg.Connection[Any]:
        return Bounded.connect(*arguments, **named)
