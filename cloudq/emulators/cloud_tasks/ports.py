"""Ports that the emulator listens at."""

from __future__ import annotations

import socket


class PortTaken(OSError):
    """The emulator can't listen there: another program does, or the address isn't this machine's."""


def place(host: str, port: int) -> str:
    """Host and port as in a URL: an IPv6 address is in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def taken(host: str, port: int, error: Exception) -> PortTaken:
    """The error for that place."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return PortTaken(f"can't listen at {place(host, port)}: {reason}")


def check_free(host: str, port: int) -> None:
    """Tries to listen there. gRPC would report it in its own log, and not say what is wrong.

    Raises:
        PortTaken: That fails.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise taken(host, port, error) from error
