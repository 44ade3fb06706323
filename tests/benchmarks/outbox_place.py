"""What the sides of the outbox's benchmark have in common. Nothing of cloudq, which the others' environment lacks."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

URL: Final = os.environ.get("BENCH_POSTGRESQL", "")
"""SQLAlchemy's, with psycopg."""
DSN: Final = URL.replace("postgresql+psycopg://", "postgresql://")
TEXT: Final = "x" * 150
KEYS: Final = 100
# So that the relay is idle each time, and its polls are met at no moment in particular.
PAUSE: Final = 0.05


def payloads(count: int) -> Iterator[dict[str, object]]:
    """As many, about 200 bytes each."""
    return ({"order_id": number, "text": TEXT} for number in range(count))


def key_of(number: int) -> str:
    """One of a hundred keys, in turn."""
    return f"customer-{number % KEYS}"


class Latencies:
    """From a commit's end to the publisher, message by message."""

    def __init__(self) -> None:
        self._committed = 0.0
        self.seconds: list[float] = []
        self.published = False

    def pause(self) -> float:
        """How long to wait before the next message."""
        return PAUSE * (0.5 + random.random())

    def commit(self) -> None:
        """The commit is about to be made."""
        self.published = False
        self._committed = time.perf_counter()

    def publish(self) -> None:
        """The publisher has a message."""
        self.seconds.append(time.perf_counter() - self._committed)
        self.published = True


def main(phases: dict[str, Callable[..., None]]) -> None:
    """Runs the phase that the command line names, with its numbers."""
    phases[sys.argv[1]](*map(int, sys.argv[2:]))
