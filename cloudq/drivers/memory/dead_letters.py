"""`MemoryDeadLetters`: the dead letters of one queue of the memory driver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from cloudq.core import wire
from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Capabilities, DeadMessage, Final, SettleResult
from cloudq.drivers.memory.settling import Settler
from cloudq.drivers.memory.store import Entry, Shelf, Store
from cloudq.errors import ConfigurationError, UndecodableError

# One that no dead letter has.
_NO_NUMBER = 2**63


class MemoryDeadLetters:
    """Implements `cloudq.core.driver.DeadLetterQueue`. A letter that is taken is still listed until it is settled."""

    def __init__(
        self,
        queue: str,
        *,
        store: Store,
        clock: Clock,
        settler: Settler,
        capabilities: Capabilities,
        shelf: Callable[[], Shelf],
    ) -> None:
        self._queue = queue
        self._store = store
        self._clock = clock
        self._settler = settler
        self._capabilities = capabilities
        self._shelf = shelf

    def peek(self, *, limit: int, after: str | None = None) -> Sequence[DeadMessage]:
        """By number, which is the order of arrival.

        Raises:
            ConfigurationError: `after` can't be the key of a dead letter.
        """
        last = 0 if after is None else _number(after)
        if last == _NO_NUMBER:
            raise ConfigurationError(
                f"{after!r:.50} isn't the key of a dead letter", hint="list them to see their keys"
            )
        with self._store.changed:
            entries = [entry for entry in self._shelf().entries.values() if entry.number > last]
        return [self._dead_message(entry) for entry in entries[: max(0, limit)]]

    def get(self, key: str) -> DeadMessage | None:
        """By number."""
        with self._store.changed:
            entry = self._shelf().entries.get(_number(key))
            return None if entry is None else self._dead_message(entry)

    def take(self, keys: Sequence[str] | None, *, limit: int, lease: timedelta) -> Sequence[Delivery]:
        """Leases them as messages are leased, without regard to their ordering keys."""
        with self._store.changed:
            shelf = self._shelf()
            now = self._clock.elapsed()
            numbers = list(shelf.entries) if keys is None else [_number(key) for key in dict.fromkeys(keys)]
            entries = [shelf.entries[number] for number in numbers if number in shelf.entries]
            free = [entry for entry in entries if not entry.is_leased(now)][: max(0, limit)]
            for entry in free:
                serial = next(self._store.serials)
                shelf.lease(entry, serial, clock=self._clock, length=lease, longest=self._capabilities.max_lease)
            exact = self._capabilities.attempt_exact
            return [shelf.delivery(entry, self._queue, clock=self._clock, exact=exact) for entry in free]

    def settle(self, finals: Sequence[Final]) -> Sequence[SettleResult]:
        """As the driver settles."""
        return self._settler.settle(finals, lambda _: self._shelf())

    def purge(self, keys: Sequence[str] | None) -> int:
        """Those that somebody has taken, too."""
        with self._store.changed:
            shelf = self._shelf()
            if keys is None:
                return shelf.clear()
            entries = [shelf.entries[number] for number in {_number(key) for key in keys} if number in shelf.entries]
            for entry in entries:
                shelf.remove(entry)
            return len(entries)

    def _dead_message(self, entry: Entry) -> DeadMessage:
        try:
            message = wire.decode(entry.body, self._queue)
        except UndecodableError:
            message = None
        return DeadMessage(
            key=str(entry.number),
            id=message.id if message else entry.id,
            queue=self._queue,
            body=entry.body,
            message=message,
            failure=entry.failure,
            dead_at=entry.added_at,
            group=entry.key if self._capabilities.ordering else None,
        )


def _number(key: str) -> int:
    """The number that a key stands for; one that none has, if it isn't one of ours."""
    return int(key) if key.isascii() and key.isdigit() and len(key) < 20 else _NO_NUMBER
