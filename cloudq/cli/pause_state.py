"""`pause_of`: whether somebody has paused a queue, found by a look that is cheap and changes nothing."""

from __future__ import annotations

import msgspec

from cloudq.app import App
from cloudq.core.pausing import Pauser
from cloudq.core.store_url import parse_store_url
from cloudq.errors import CloudqError
from cloudq.queues.store_connection import NATIVE_ONLY


class PauseState(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a queue is paused.

    Attributes:
        paused: Whether it is; `None`: that isn't known.
        why: Why not, if it isn't.
        failed: Whether what knows was asked, and failed to answer.
    """

    paused: bool | None = None
    why: str | None = None
    failed: bool = False


def pause_of(app: App, queue: str) -> PauseState:
    """Asks the backend, where it pauses by itself; else the app's store, where its workers look. One call, or none.

    A store that is a file isn't opened, since that makes or changes its tables.

    Args:
        app: On its backend.
        queue: The queue.
    """
    if not isinstance(app.driver(), Pauser):
        url = app.runtime.stores.url
        if url in {None, NATIVE_ONLY}:
            return PauseState(why="the backend can't pause, and no store is named in which a pause is noted")
        if parse_store_url(str(url)).scheme == "sqlite":
            return PauseState(why="a pause is noted in the store, which is a file: a look doesn't open it")
    try:
        return PauseState(paused=app.is_paused(queue))
    except CloudqError as error:
        return PauseState(why=error.message, failed=True)
