"""What workers say of themselves on their health pages, asked over HTTP. That one doesn't answer is an answer, too."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from cloudq.errors import OptionError

# A page is answered at once and whole, or by nobody: what waits for long holds up the whole view.
PATIENCE: Final = timedelta(seconds=2)
# Of a page; one with a thousand queues has a tenth of it.
MOST_BYTES: Final = 1024 * 1024
_HIGHEST_PORT: Final = 65535


class WorkerNow(msgspec.Struct, frozen=True, kw_only=True):
    """One worker at one moment.

    Attributes:
        address: Where it was asked.
        ready: Whether it takes work.
        problems: Why not.
        counts: What it counts: outcomes so far, and what it has in hand.
        queues: The state of each of its queues.
        unreachable: Why it said nothing; `None`: it did.
    """

    address: str
    ready: bool = False
    problems: Sequence[str] = ()
    counts: Mapping[str, int] = {}
    queues: Mapping[str, str] = {}
    unreachable: str | None = None


class _Page(msgspec.Struct):
    """Of a `/readyz`, what is shown."""

    ok: bool
    problems: list[str]
    counts: dict[str, int]
    queues: dict[str, str] = {}


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


def worker_address(text: str) -> str:
    """The address in `HOST:PORT`, or that of this machine in a bare `PORT`, if it is one.

    Raises:
        OptionError: It is none.
    """
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and len(port) < 6 and 0 < int(port) <= _HIGHEST_PORT):
        raise OptionError(
            f"--worker {text!r} is no address of a worker's health pages",
            hint="--worker 10.0.0.7:8080, as the worker's own --health says",
        )
    return f"{host or '127.0.0.1'}:{int(port)}"


def ask(address: str) -> WorkerNow:
    """What the worker there says now. Never raises: whatever goes wrong is in the answer."""
    host, _, port = address.rpartition(":")
    connection = _Connection(host.strip("[]"), int(port), timeout=PATIENCE.total_seconds())
    try:
        connection.request("GET", "/readyz")
        body = connection.getresponse().read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            return WorkerNow(address=address, unreachable="its page is too large for a worker's")
        page = msgspec.json.decode(body, type=_Page)
    except (OSError, http.client.HTTPException) as error:
        return WorkerNow(address=address, unreachable=str(error) or type(error).__name__)
    except msgspec.DecodeError:
        return WorkerNow(address=address, unreachable="what answers there is no worker")
    finally:
        connection.close()
    return WorkerNow(address=address, ready=page.ok, problems=page.problems, counts=page.counts, queues=page.queues)
