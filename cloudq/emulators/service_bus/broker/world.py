"""What all entities of a broker share: its time, its timers, and who has messages to hand out."""

from __future__ import annotations

from datetime import datetime
from itertools import count
from types import TracebackType
from typing import Final, Protocol
from uuid import UUID, uuid4

from cloudq.emulators.service_bus.broker.api import Clock
from cloudq.emulators.service_bus.broker.timers import Timers

_LOW_BITS: Final = (1 << 48) - 1


class Distributor(Protocol):
    """What has messages in line and receivers that want some."""

    def distribute(self) -> None:
        """Hands out what can be handed out."""
        ...


class World:
    """One for a broker. `with world:` is an operation.

    At its start what is due is done, at its end what became available is handed out. An operation inside another (a
    sink that calls the broker) leaves both to the outer one, so that nothing changes under its feet.
    """

    __slots__ = ("_clock", "_depth", "_distributors", "_tokens", "timers")

    def __init__(self, clock: Clock) -> None:
        self.timers = Timers()
        self._clock = clock
        self._depth = 0
        self._distributors: dict[Distributor, None] = {}
        # Unlike any other broker's, and cheaper than a random one for each message.
        high = uuid4().int & ~_LOW_BITS
        self._tokens = (UUID(int=high | number) for number in count(1))

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return self._clock.now()

    def new_token(self) -> UUID:
        """A lock token."""
        return next(self._tokens)

    def available(self, distributor: Distributor) -> None:
        """Has it asked to distribute at the operation's end."""
        self._distributors[distributor] = None

    def __enter__(self) -> None:
        self._depth += 1
        if self._depth == 1:
            try:
                self.timers.run_due(self._clock.now())
            except BaseException:
                self._depth = 0
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while self._depth == 1 and self._distributors:
                distributor = next(iter(self._distributors))
                del self._distributors[distributor]
                distributor.distribute()
        finally:
            self._depth -= 1
