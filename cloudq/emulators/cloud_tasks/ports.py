"""Ports that the emulator listens at."""

from __future__ import annotations


class PortTaken(OSError):
    """The emulator can't listen there: another program does, or the address isn't this machine's."""


def taken(host: str, port: int, error: Exception) -> PortTaken:
    """The error for that place."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return PortTaken(f"can't listen at {host}:{port}: {reason}")
