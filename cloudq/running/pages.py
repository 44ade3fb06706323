"""`HealthServer`: `/healthz` and `/readyz` over HTTP. What they say is the edge's to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import msgspec

from cloudq.running.page_server import Answer, PageServer


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What one page says.

    Attributes:
        ok: Whether it is answered with 200; otherwise 503.
        problems: Why not, for a person. Anybody who can connect may read it: of an error its class, whose text, with
            hosts and paths, is in the log.
        queues: The state of each queue's poller; of a relay, that of its outbox, and of queues that are down.
        counts: The counts of the worker, or of the relay.
    """

    ok: bool
    problems: Sequence[str]
    queues: Mapping[str, str]
    counts: msgspec.Struct


class Pages(Protocol):
    """What a server of the pages asks."""

    def healthz(self) -> Page:
        """Whether this process does its work."""
        ...

    def readyz(self) -> Page:
        """Whether it takes work now."""
        ...


class HealthServer(PageServer):
    """Serves the pages on threads of its own.

    Args:
        address: `(host, port)`; port 0 takes a free one.
        health: What they say.

    Raises:
        ConfigurationError: The address can't be listened on.
    """

    def __init__(self, address: tuple[str, int], health: Pages) -> None:
        pages = {"/healthz": partial(_answer, health.healthz), "/readyz": partial(_answer, health.readyz)}
        super().__init__(address, pages, what="the health pages", name="cloudq-health")


def _answer(page: Callable[[], Page], _accept: str) -> Answer:
    said = page()
    return Answer(200 if said.ok else 503, msgspec.json.encode(said))
