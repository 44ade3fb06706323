"""Whether somebody has paused a queue by `cloudq pause`, where no setting of its service shows that."""

from __future__ import annotations

from collections.abc import Iterator

from cloudq.app import App
from cloudq.cli.doctor.catalogue import FAULTS
from cloudq.cli.doctor.fault import Finding, Unchecked, Where
from cloudq.cli.doctor.queue_law import WHERES, Looked
from cloudq.cli.pause_state import pause_of
from cloudq.core.pausing import Pauser


def paused(app: App, queue: str, looked: Looked | None) -> Iterator[Finding | Unchecked]:
    """By the backend itself, or by a flag in the store, where there is one.

    Args:
        app: On the backend.
        queue: The queue.
        looked: As it is set up, where its backend has settings: one that pauses by them has told so already.
    """
    if isinstance(app.driver(), Pauser) and looked is not None:
        return
    state = pause_of(app, queue)
    if state.failed:
        yield Unchecked(what=f"whether queue {queue!r} is paused", why=state.why or "")
    elif state.paused:
        where = Where.SQLITE if looked is None else WHERES[looked.cloud]
        what = "it is paused: nothing is handed over"
        yield Finding(fault=FAULTS["queue-stopped"], where=where, queue=queue, what=what, names={"queue": queue})
