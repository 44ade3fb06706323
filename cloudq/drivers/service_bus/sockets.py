"""The two things that block below each connection, a name lookup and a socket, bounded by the call's deadline."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from datetime import timedelta
from typing import Any, Final

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.drivers.service_bus import deadlines

# What looks up each host; a child after `fork` has not the threads that its parent had at it.
_lookups: Final[dict[tuple[str, int], deadlines.Errand[Any]]] = {}
os.register_at_fork(after_in_child=_lookups.clear)


def addresses(host: str, port: int) -> list[str]:
    """The addresses of a host, looked up by the call's deadline: the resolver's own patience can't be set."""
    with contextlib.suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    errand = _lookups.setdefault((host, port), deadlines.Errand("name"))
    found = errand.run(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    return [str(address[0]) for *_, address in found]


class TimelySocket:
    """A socket whose reads and writes end by the call's deadline, though each byte comes in time.

    Attributes:
        until: When reads end at the latest, by the system clock's `elapsed`; `None`: with the call.
    """

    __slots__ = ("_sock", "until")

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.until: timedelta | None = None

    def recv_into(self, *arguments: Any) -> int:
        """As the socket's own. The SDK keeps the part of a frame that has arrived by then."""
        deadlines.left()
        if self.until is not None and SYSTEM_CLOCK.elapsed() > self.until:
            raise TimeoutError("the rest of the frame may wait")
        count: int = self._sock.recv_into(*arguments)
        return count

    def send(self, *arguments: Any) -> int:
        """As the socket's own."""
        deadlines.left()
        count: int = self._sock.send(*arguments)
        return count

    def __getattr__(self, name: str) -> Any:
        """All else is the socket's."""
        return getattr(self._sock, name)
