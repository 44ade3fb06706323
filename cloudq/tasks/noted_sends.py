"""`NotedSends`: what is noted of a message around its send: that it waits, and that of its kind one waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from msgspec.structs import replace

from cloudq.core.failure import words_of
from cloudq.core.message import Message
from cloudq.core.safe_log import SafeLogger
from cloudq.core.shield import shielded
from cloudq.core.store import Store
from cloudq.core.tracking import Waiting, is_tracked, waiting_of
from cloudq.core.waiting_marks import WaitingMarks
from cloudq.errors import BackendError, CloudqError, ConfigurationError, UnsupportedError
from cloudq.tasks.results import Results
from cloudq.tasks.sent import Sent

logger = SafeLogger("cloudq")

_ZERO: Final = timedelta(0)


class NotedSends:
    """Notes messages that are sent: one method before a send, one after, and one after it was taken back.

    Args:
        results: Where runs are noted.
        in_use: Whether there is a store, without opening it.
    """

    def __init__(self, results: Results, in_use: Callable[[], bool]) -> None:
        self._results = results
        self._in_use = in_use

    def instead(self, message: Message) -> Sent[Any] | None:
        """What a send gives back in place of sending, where another message waits already; mostly `None`.

        Raises:
            UnsupportedError: The message is to be tracked, and the app has no store. Nothing was stored.
            BackendError: The store is to be looked at, and can't be reached. Nothing was stored.
            ConfigurationError: It is to be looked at, and can't be used as it is set. Nothing was stored.
        """
        if not is_tracked(message):
            return None
        waiting = waiting_of(message)
        if self._in_use() and (waiting is None or waiting.replaces):
            return None  # a store that is down must keep no message from being sent that needn't be looked for
        store = self._results.store("tracked messages")
        if waiting is None:
            return None
        other = WaitingMarks(store.notes).waiting(message.task, waiting.key)
        return None if other is None else Sent(id=other, duplicate=True)

    def note(self, message: Message, sent: Sent[Any]) -> Sent[Any]:
        """What a send gives back, once its message is stored.

        A store that fails now, or can't be used as it is set, is logged and no more: the message is stored, and will
        run. An error would have it sent again.
        """
        if sent.duplicate or not is_tracked(message):
            return sent
        try:
            return self._noted(self._results.store("tracked messages"), message, sent)
        except (BackendError, ConfigurationError) as error:
            logger.warning("%s %s is sent, and couldn't be noted: %s", message.task, message.id, words_of(error))
            return sent

    @shielded  # a time limit that strikes in here would be taken for the store's failure
    def cancelled(self, id_: str) -> None:
        """Notes that a message was taken out of its queue, so that none of its kind leaves it to that one to run.

        A store that fails now is logged and no more: the message is gone.

        Args:
            id_: Of a message that was to be noted.
        """
        try:
            if self._in_use():
                self._results.notes().drop(id_, "taken out of its queue")
        except CloudqError as error:
            logger.warning("%s is cancelled, and couldn't be noted so: %s", id_, words_of(error))

    def _noted(self, store: Store, message: Message, sent: Sent[Any]) -> Sent[Any]:
        delay = _ZERO
        if message.not_before is not None and message.sent_at is not None:
            delay = max(_ZERO, message.not_before - message.sent_at)
        self._results.notes().track(message.id, message.task, delay=delay)
        waiting = waiting_of(message)
        return sent if waiting is None else self._marked(WaitingMarks(store.notes), message, sent, waiting, delay)

    def _marked(
        self, marks: WaitingMarks, message: Message, sent: Sent[Any], waiting: Waiting, delay: timedelta
    ) -> Sent[Any]:
        runs = self._results.notes()
        if waiting.replaces:
            before = marks.move(message.task, waiting.key, message.id, delay=delay)
            if before is not None:
                runs.drop(before, f"debounced: {message.id} took its place")
            return sent
        other = marks.take(message.task, waiting.key, message.id, delay=delay)
        if other is None or not runs.drop(message.id, f"not needed: {other} waits"):
            return sent
        return replace(sent, id=other, duplicate=True, receipt=None)


def refuse_waiting(message: Message, where: str) -> None:
    """Refuses a message of whose kind one is to wait, where it can't be sent alone.

    Args:
        message: What is to be sent.
        where: How it is to be sent, for the message.

    Raises:
        UnsupportedError: It was to be sent with `debounce` or `unique_while_waiting`.
    """
    if waiting_of(message) is not None:
        raise UnsupportedError(
            f"debounce and unique_while_waiting can't be {where}",
            hint="send it alone: task.options(...).send",
        )
