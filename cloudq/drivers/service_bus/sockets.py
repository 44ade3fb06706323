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

# How much is read at once, in bytes: some hundred messages.
AHEAD: Final = 64 * 1024
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

    It reads ahead: to the SDK each frame is two reads and two changes of the time-out, and hundreds may have come.

    Attributes:
        until: When reads of what hasn't come yet end at the latest, by the system clock's `elapsed`; `None`: with the
            call.
    """

    __slots__ = ("_ahead", "_sock", "_timeout", "_told", "until")

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._ahead = memoryview(b"")
        self._timeout: float | None = sock.gettimeout()
        self._told = self._timeout
        self.until: timedelta | None = None

    @property
    def has_more(self) -> bool:
        """Whether more has come than was asked for."""
        return bool(self._ahead)

    def gettimeout(self) -> float | None:
        """As the socket's own."""
        return self._timeout

    def settimeout(self, seconds: float | None) -> None:
        """As the socket's own, which hears of it once it is used."""
        self._timeout = seconds

    def recv_into(self, buffer: memoryview) -> int:
        """As the socket's own. The SDK keeps the part of a frame that has arrived by then."""
        if not self._ahead:
            if self.until is not None and SYSTEM_CLOCK.elapsed() > self.until:
                raise TimeoutError("the rest of the frame may wait")
            self._begin()
            self._ahead = memoryview(self._sock.recv(AHEAD))
        count = min(len(buffer), len(self._ahead))
        buffer[:count] = self._ahead[:count]
        self._ahead = self._ahead[count:]
        return count

    def send(self, data: bytes) -> int:
        """As the socket's own."""
        self._begin()
        count: int = self._sock.send(data)
        return count

    def unwrap(self) -> Any:
        """As a TLS socket's own, which waits for the other end."""
        self._begin()
        return self._sock.unwrap()

    def __getattr__(self, name: str) -> Any:
        """All else is the socket's."""
        return getattr(self._sock, name)

    def _begin(self) -> None:
        """Before each call that may wait."""
        deadlines.left()
        if self._told != self._timeout:
            self._sock.settimeout(self._timeout)
            self._told = self._timeout
