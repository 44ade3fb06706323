"""Faults on demand, for tests of what a client or a worker does about them. Thread-safe."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from threading import Lock

import msgspec


class Failing(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a call that creates tasks.

    Attributes:
        code: The name of the gRPC status code that the client sees.
        stored: Whether the tasks are stored all the same: the answer is what is lost.
    """

    code: str
    stored: bool


class Cut(StrEnum):
    """Where the connection of a dispatch breaks."""

    REQUEST = "request"
    """Half of the body has been sent: the worker can't do its work."""
    RESPONSE = "response"
    """The worker has answered, and the answer is lost."""


class Faults:
    """Counts down what is to go wrong. Each call of a method adds to what is left of the calls before it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._creates: list[Failing] = []
        self._cuts: list[Cut] = []
        self._doubles = 0

    def fail_creates(self, count: int = 1, *, stored: bool = False, code: str = "UNAVAILABLE") -> None:
        """Has the next calls of `create_task` or `batch_create_tasks` fail.

        Args:
            count: How many calls.
            stored: `True`: after the tasks were stored, so that only the answer is lost.
            code: The gRPC status code's name.
        """
        with self._lock:
            self._creates += [Failing(code=code, stored=stored)] * count

    def cut_dispatches(self, count: int = 1, *, at: Cut = Cut.RESPONSE) -> None:
        """Has the connections of the next attempts break; each counts as failed, and is tried again.

        Args:
            count: How many attempts.
            at: Where.
        """
        with self._lock:
            self._cuts += [Cut(at)] * count

    def double_dispatches(self, count: int = 1) -> None:
        """Has each of the next attempts send its request twice at once; the second answer changes nothing."""
        with self._lock:
            self._doubles += count

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._creates.clear()
            self._cuts.clear()
            self._doubles = 0

    def next_create(self) -> Failing | None:
        """What happens to the present call. For the emulator."""
        with self._lock:
            return self._creates.pop(0) if self._creates else None

    def next_dispatch(self) -> tuple[Cut | None, bool]:
        """Where the present attempt's connection breaks, and whether it is sent twice. For the emulator."""
        if not self._cuts and not self._doubles:  # asked for each attempt
            return None, False
        with self._lock:
            cut = self._cuts.pop(0) if self._cuts else None
            double = self._doubles > 0
            self._doubles -= double
            return cut, double

    @property
    def left(self) -> Iterable[Failing | Cut]:
        """What hasn't happened yet, but for doubled dispatches."""
        with self._lock:
            return [*self._creates, *self._cuts]
