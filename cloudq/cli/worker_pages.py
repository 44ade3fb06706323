"""`fetched`: a page that a worker serves, its health or its metrics, fetched within a bound of time and of size."""

from __future__ import annotations

import http.client
import socket
import time
from datetime import timedelta
from typing import Any, Final

from cloudq.errors import OptionError

# A page is answered at once and whole, or by nobody: what waits for long holds up the whole view.
PATIENCE: Final = timedelta(seconds=2)
# Of a page; one with a thousand queues has a tenth of it.
MOST_BYTES: Final = 1024 * 1024
_HIGHEST_PORT: Final = 65535


class PageUnreachable(Exception):
    """A worker's page can't be fetched. Its text says why."""


class _Socket(socket.socket):
    """One that is read until a deadline, in however many pieces.

    Attributes:
        ends: The deadline, by `time.monotonic`.
    """

    ends: float

    def recv_into(self, *args: Any, **options: Any) -> int:
        """As any socket's, with the time that is left."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.settimeout(left)
        return super().recv_into(*args, **options)


class _Connection(http.client.HTTPConnection):
    """One whose timeout is that of the whole answer."""

    def connect(self) -> None:
        """Connects; the time for the answer begins here."""
        ends = time.monotonic() + PATIENCE.total_seconds()
        super().connect()
        bounded = _Socket(fileno=self.sock.detach())
        bounded.ends = ends
        bounded.settimeout(PATIENCE.total_seconds())
        self.sock = bounded


def worker_address(text: str, *, serving: str = "health pages", option: str = "--health") -> str:
    """The address in `HOST:PORT`, or that of this machine in a bare `PORT`, if it is one.

    Args:
        text: What was given.
        serving: What the worker serves there.
        option: Its own option that says where.

    Raises:
        OptionError: It is none.
    """
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and len(port) < 6 and 0 < int(port) <= _HIGHEST_PORT):
        raise OptionError(
            f"--worker {text!r} is no address of a worker's {serving}",
            hint=f"--worker 10.0.0.7:8080, as the worker's own {option} says",
        )
    return f"{host or '127.0.0.1'}:{int(port)}"


def fetched(address: str, path: str) -> bytes:
    """The page, whatever the status: a worker that isn't ready says so with 503.

    Args:
        address: As `worker_address` gives it.
        path: Of the page, with its slash.

    Raises:
        PageUnreachable: Nobody answers there in time, or not by HTTP, or what is answered is too large.
    """
    host, _, port = address.rpartition(":")
    connection = _Connection(host.strip("[]"), int(port), timeout=PATIENCE.total_seconds())
    try:
        connection.request("GET", path)
        with connection.getresponse() as response:
            body = response.read(MOST_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise PageUnreachable(str(error) or type(error).__name__) from error
    finally:
        connection.close()
    if len(body) > MOST_BYTES:
        raise PageUnreachable("its page is too large for a worker's")
    return body
