"""`Stops`: why a queue isn't asked for more: its settlements fail, or the store that its tasks need is down."""

from __future__ import annotations

from cloudq.worker.books import Books
from cloudq.worker.polls import Polls


class Stops:
    """Stops the polls of queues, and lets them go on. Thread-safe.

    Args:
        books: The intake's.
        polls: The intake's.
    """

    def __init__(self, books: Books, polls: Polls) -> None:
        self._books = books
        self._polls = polls

    def note_failing(self, queue: str, failing: bool) -> None:
        """Notes whether a queue's settlements fail. While they do, it alone isn't received from (semantics 14)."""
        books = self._books
        with books.lock:
            books.queues[queue].failing = failing
            self._polls.wake()

    def unsettled(self) -> list[str]:
        """The queues that aren't received from as their settlements fail: not those of which none is left to try."""
        return [name for name, queue in self._books.queues.items() if queue.failing and queue.settling]

    def note_store(self, queue: str, *, down: bool) -> bool:
        """Notes that the store is down which a queue's tasks need: it isn't received from. Whether that is news."""
        books = self._books
        with books.lock:
            news = books.queues[queue].storeless is not down
            books.queues[queue].storeless = down
            self._polls.wake()
        return news

    def note_store_up(self) -> bool:
        """Notes that the store is back, for all queues. Whether that is news."""
        stopped = self.storeless()
        for name in stopped:
            self.note_store(name, down=False)
        return bool(stopped)

    def storeless(self) -> list[str]:
        """The queues that aren't received from as the store is down."""
        return [name for name, queue in self._books.queues.items() if queue.storeless]
