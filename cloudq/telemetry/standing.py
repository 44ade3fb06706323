"""`Standing`: how a worker stands at one moment, as far as its metrics say; and what kinds of outages there are."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class OutageKind(StrEnum):
    """What may keep a worker from its work. The values are those of the label `kind`."""

    RECEIVE = "receive"
    """Polls of a queue fail."""
    SETTLE = "settle"
    """What has run can't be settled."""
    STORE = "store"
    """The store of idempotency keys is down."""
    LEASES = "leases"
    """Leases of what is in hand can't be extended."""
    UNKNOWN_TASKS = "unknown_tasks"
    """A queue holds messages of another program."""
    CERTIFICATES = "certificates"
    """The senders of pushes can't be verified."""


class Failing(msgspec.Struct, frozen=True):
    """One thing that may fail, and whether it does.

    Attributes:
        kind: What.
        queue: Of which queue; empty where it isn't one queue's.
        now: Whether it fails now.
    """

    kind: OutageKind
    queue: str
    now: bool


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker stands.

    Attributes:
        ready: Whether it takes work, as `/readyz` says.
        slots: The most tasks that it runs at once.
        waiting: Deliveries that were received and not started.
        running: Started and not ended.
        settling: Ended and not confirmed.
        failing: All that may fail, and whether it does.
        polls_replaced: Polls that never came back, so far.
        children_died: Child processes that ended before their task did, so far.
    """

    ready: bool
    slots: int
    waiting: int
    running: int
    settling: int
    failing: Sequence[Failing] = ()
    polls_replaced: int = 0
    children_died: int = 0
