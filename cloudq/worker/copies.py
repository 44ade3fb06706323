"""`store_copies`: the copies of one plan, through the batcher of their queue, without waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from cloudq.core.driver import Outgoing, SendResult
from cloudq.worker.way_out import WayOut


def store_copies(way: WayOut, copies: Sequence[Outgoing], then: Callable[[BaseException | None], None]) -> None:
    """Has the copies stored. Calls `then` once, in any thread, when all have their answers: with the first error."""
    futures = [_submit(way, copy) for copy in copies]
    left = len(futures)
    lock = threading.Lock()

    def note_answered(_: Future[SendResult]) -> None:
        nonlocal left
        with lock:
            left -= 1
            last = not left
        if last:
            then(next((error for future in futures if (error := _error_of(future)) is not None), None))

    for future in futures:
        future.add_done_callback(note_answered)


def _submit(way: WayOut, copy: Outgoing) -> Future[SendResult]:
    try:
        return way.copies.submit(copy)
    except RuntimeError as error:  # no thread could be started: it isn't stored
        failed: Future[SendResult] = Future()
        failed.set_exception(error)
        return failed


def _error_of(future: Future[SendResult]) -> BaseException | None:
    return future.exception() or future.result().error
