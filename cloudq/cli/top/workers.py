"""What workers say of themselves on their health pages, asked over HTTP. That one doesn't answer is an answer, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from cloudq.cli.worker_pages import PageUnreachable, fetched


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


def ask(address: str) -> WorkerNow:
    """What the worker there says now. Never raises: whatever goes wrong is in the answer."""
    try:
        page = msgspec.json.decode(fetched(address, "/readyz"), type=_Page)
    except PageUnreachable as error:
        return WorkerNow(address=address, unreachable=str(error))
    except msgspec.DecodeError:
        return WorkerNow(address=address, unreachable="what answers there is no worker")
    return WorkerNow(address=address, ready=page.ok, problems=page.problems, counts=page.counts, queues=page.queues)
