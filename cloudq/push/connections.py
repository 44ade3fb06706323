"""`Connections`: how many connections a push worker holds, and for how long those that don't say anything.

Any program that can reach the port may open as many as it likes, and needs no token for it. So a request's head has to
be there in time, and where there are too many, it is one without a request that goes, never the newest.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# How long the head of a request may take, and what is left of a body that nobody wants any more.
HEAD_SECONDS: Final = 10.0
# Of a request's line and headers together. With httptools there would be no bound.
LARGEST_HEAD: Final = 64 * 1024


class Connections:
    """The connections of one server. All is called on its loop.

    Args:
        most: How many are held.
        head_seconds: How long a request's head may take.
    """

    def __init__(self, most: int, head_seconds: float = HEAD_SECONDS) -> None:
        self.most = most
        self.head_seconds = head_seconds
        self._busy: set[BoundedProtocol] = set()
        # Without a request in hand, the oldest first: those that never had one, and those that are kept for the next.
        self._silent: dict[BoundedProtocol, None] = {}
        self._kept: dict[BoundedProtocol, None] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._busy) + len(self._silent) + len(self._kept)

    def add(self, connection: BoundedProtocol) -> None:
        """Takes a new one. If that is one too many, it ends another; the new one where all have a request in hand."""
        if len(self) >= self.most:
            ended = next(iter(self._silent), None) or next(iter(self._kept), None) or connection
            self.remove(ended)
            ended.transport.abort()
            if ended is connection:
                return
        self._silent[connection] = None

    def note(self, connection: BoundedProtocol, *, busy: bool) -> None:
        """Notes whether it has a request in hand."""
        if busy and connection not in self._busy:
            self.remove(connection)
            self._busy.add(connection)
        elif not busy and connection in self._busy:
            self._busy.discard(connection)
            self._kept[connection] = None

    def remove(self, connection: BoundedProtocol) -> None:
        """Forgets one. Calling it again changes nothing."""
        self._busy.discard(connection)
        self._silent.pop(connection, None)
        self._kept.pop(connection, None)


class BoundedProtocol(H11Protocol):
    """One connection, read by h11, in bounds."""

    # Set by the class that `bounded` makes: the server makes its protocols from a class.
    bounds: Connections

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Counts it."""
        super().connection_made(transport)
        self.bounds.add(self)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets it."""
        self.bounds.remove(self)
        self._forget_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads on, and sees what it is waiting for now."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """An answer was given: the next request may come."""
        super().on_response_complete()
        self._look()

    def _look(self) -> None:
        if self.transport.is_closing():
            self._forget_head()
            return
        busy = self.cycle is not None and not self.cycle.response_complete
        self.bounds.note(self, busy=busy)
        if busy or self._between_requests():
            self._forget_head()
        elif self._head is None:  # bytes that drip in don't lengthen it
            self._head = self.loop.call_later(self.bounds.head_seconds, self._end)

    def _between_requests(self) -> bool:
        """Whether one was answered, and nothing of the next has come: the server's own time-out is for that."""
        return self.cycle is not None and self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]

    def _forget_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _end(self) -> None:
        self._head = None
        # Not by `close`, which would wait for a client that doesn't read.
        self.transport.abort()


def bounded(connections: Connections) -> type[BoundedProtocol]:
    """The protocol of a server with those connections."""
    return type("Bounded", (BoundedProtocol,), {"bounds": connections})
