"""Clocks, and how old messages are: against the service's time, its retention, and what is kept of their keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from cloudq.cli.doctor.catalogue import FAULTS
from cloudq.cli.doctor.fault import Finding, Where
from cloudq.cli.doctor.queue_law import Looked
from cloudq.running.claims import kept_for

# An HTTP date has whole seconds, and an answer takes a while.
MOST_SKEW: Final = timedelta(seconds=10)
NEARLY: Final = 0.75


def skewed(looked: Looked) -> Iterator[Finding]:
    """Whether this machine's clock and the service's differ, where the service told the time."""
    ahead = None if looked.settings is None else looked.settings.ahead
    if ahead is not None and abs(ahead) > MOST_SKEW:
        way = "ahead of" if ahead > timedelta(0) else "behind"
        yield looked.found("clock-off", f"this machine's clock is {_shown(abs(ahead))} {way} the service's")


def nearly_expired(looked: Looked, oldest: timedelta | None) -> Iterator[Finding]:
    """Whether the oldest message of a queue will soon be gone."""
    retention = None if looked.settings is None else looked.settings.retention
    if retention is None or oldest is None or oldest < NEARLY * retention:
        return
    words = f"the oldest message is {_shown(oldest)} old, and the queue keeps messages for {_shown(retention)}"
    yield looked.found("nearly-expired", words)


def keys_forgotten(queue: str, looked: Looked | None, oldest: timedelta | None, keyed: str | None) -> Iterator[Finding]:
    """Whether a message may come after the record of its key is gone.

    Args:
        queue: The queue.
        looked: As it is set up, where its backend has settings.
        oldest: How old its oldest message is, where that is known.
        keyed: A task of the queue that has an idempotency key; `None` for none.
    """
    if keyed is None:
        return
    capabilities = None if looked is None else looked.capabilities
    kept = kept_for(None if capabilities is None else capabilities.retention)
    comes = None if looked is None or looked.settings is None else looked.settings.retention
    if looked is not None and comes is not None and comes > kept:
        words = f"messages may come for {_shown(comes)}, and keys of task {keyed!r} are kept for {_shown(kept)}"
        yield looked.found("keys-forgotten", words, kept.days)
    elif looked is None and oldest is not None and oldest > kept:
        words = f"the oldest message is {_shown(oldest)} old, and keys of task {keyed!r} are kept for {_shown(kept)}"
        yield Finding(
            fault=FAULTS["keys-forgotten"], where=Where.SQLITE, queue=queue, what=words, names={"queue": queue}
        )


def _shown(span: timedelta) -> str:
    """In the largest unit that says enough."""
    seconds = span.total_seconds()
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds:.3g} seconds"
