"""What goes wrong on purpose, for tests of what a client makes of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from threading import Lock
from typing import Final

import msgspec

from cloudq.emulators.service_bus.amqp.errors import AmqpError


class FaultPoint(Enum):
    """Where an operation can be made to fail."""

    ATTACH = "attach"
    SEND = "send"
    SETTLE = "settle"
    MANAGE = "manage"
    AUTHORIZE = "authorize"


class ConnectionDropped(Exception):
    """The connection is to be cut now, without a word."""


class Answer(Enum):
    """What becomes of a settlement."""

    GIVEN = "given"
    LOST = "done, but not answered"
    UNHEARD = "neither done nor answered"


class _Failure(msgspec.Struct):
    error: AmqpError
    left: int | None


class _Loss(msgspec.Struct):
    answer: Answer
    left: int | None


_NEVER: Final = -1


class Faults:
    """Faults that are waiting to happen. Any thread may order them.

    Attributes:
        delay: How long everything that the server writes is held back.
    """

    __slots__ = ("_drop", "_drop_after", "_failures", "_lock", "_loss", "delay")

    def __init__(self) -> None:
        self._lock = Lock()
        self._failures: dict[FaultPoint, _Failure] = {}
        self._loss: _Loss | None = None
        self._drop_after = _NEVER
        self._drop: list[Callable[[], None]] = []
        self.delay = timedelta()

    # ── ordering ─────────────────────────────────────────────────────────────────────────────────────────

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._failures.clear()
            self._loss = None
            self._drop_after = _NEVER
            self.delay = timedelta()

    def fail(self, point: FaultPoint, condition: str, text: str = "", *, times: int | None = None) -> None:
        """Lets operations fail with an AMQP error, `times` times (`None`: until `clear`), without being done."""
        with self._lock:
            self._failures[point] = _Failure(AmqpError(condition, text or f"{condition}, on purpose"), times)

    def lose_settlements(self, *, applied: bool, times: int | None = None) -> None:
        """Doesn't answer settlements; with `applied` they are done nonetheless. `None`: until `clear`."""
        with self._lock:
            self._loss = _Loss(Answer.LOST if applied else Answer.UNHEARD, times)

    def drop_after(self, transfers: int) -> None:
        """Cuts the connection with the next transfer after that many more, in either direction, before it is done."""
        with self._lock:
            self._drop_after = transfers

    def drop_connections(self) -> None:
        """Cuts all connections now, without a word."""
        for drop in list(self._drop):
            drop()

    def on_drop(self, drop: Callable[[], None]) -> None:
        """Registers what cuts a server's connections; it may be called by any thread."""
        self._drop.append(drop)

    # ── happening ────────────────────────────────────────────────────────────────────────────────────────

    def check(self, point: FaultPoint) -> None:
        """Raises the `AmqpError` that was ordered for this point."""
        if not self._failures:
            return
        with self._lock:
            failure = self._failures.get(point)
            if failure is None:
                return
            if failure.left is not None:
                failure.left -= 1
                if failure.left <= 0:
                    del self._failures[point]
        raise failure.error

    def transfer(self) -> None:
        """Counts a transfer. Raises `ConnectionDropped` if it is one too many."""
        if self._drop_after == _NEVER:
            return
        with self._lock:
            self._drop_after -= 1
            if self._drop_after != _NEVER:
                return
        raise ConnectionDropped

    def settlement(self) -> Answer:
        """What becomes of the settlement that just came."""
        with self._lock:
            loss = self._loss
            if loss is None:
                return Answer.GIVEN
            if loss.left is not None:
                loss.left -= 1
                if loss.left <= 0:
                    self._loss = None
            return loss.answer
