"""`StoreBench`: what the behaviours work with: one store, one key, and short words for what is done to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from threading import Barrier
from typing import TypeVar

from cloudq.core.notes import Note, Written
from cloudq.core.store import Claim, Claimed, ClaimKey, Store
from cloudq.testing.stores.harness import StoreHarness

T = TypeVar("T")

KEY = ClaimKey("conformance.task", "order-42")


class StoreBench:
    """One store under test.

    Args:
        harness: How to get at it.
    """

    def __init__(self, harness: StoreHarness) -> None:
        self.harness = harness
        self.unit = harness.unit
        self._opened: list[Store] = []
        self._owners = count(1)
        self.store = self.open()

    def close(self) -> None:
        """Closes every store, then the harness."""
        for store in self._opened:
            store.close()
        self.harness.close()

    def open(self, namespace: str = "kit") -> Store:
        """Another client of the store."""
        store = self.harness.open(namespace)
        self._opened.append(store)
        return store

    @property
    def lease(self) -> timedelta:
        """The lease that claims ask for, where the behaviour doesn't say otherwise."""
        return 3 * self.unit

    @property
    def keep(self) -> timedelta:
        """For how long records are kept, where the behaviour doesn't say otherwise."""
        return 60 * self.unit

    def advance(self, delta: timedelta) -> None:
        """Lets time pass."""
        self.harness.advance(delta)

    def claim(
        self,
        key: ClaimKey = KEY,
        *,
        owner: str | None = None,
        lease: timedelta | None = None,
        fingerprint: bytes | None = b"f" * 32,
        keep: timedelta | None = None,
        store: Store | None = None,
    ) -> Claim:
        """Tries to claim, by a new owner if none is given."""
        return (store or self.store).claim(
            key,
            owner=owner or f"worker-{next(self._owners)}",
            lease=lease or self.lease,
            fingerprint=fingerprint,
            keep=keep or self.keep,
        )

    def token(self, key: ClaimKey = KEY, *, owner: str | None = None, lease: timedelta | None = None) -> int:
        """The token of a claim, which must succeed."""
        claimed = self.claim(key, owner=owner, lease=lease)
        assert isinstance(claimed, Claimed), f"the key is taken: {claimed}"
        return claimed.token

    def complete(
        self, token: int, key: ClaimKey = KEY, *, result: bytes | None = None, keep: timedelta | None = None
    ) -> bool:
        """Completes."""
        return self.store.complete(key, token, result=result, keep=keep or self.keep)

    def write(
        self,
        name: str,
        text: bytes,
        *,
        after: int,
        keep: timedelta | None = None,
        store: Store | None = None,
        durable: bool = True,
    ) -> Written | Note | None:
        """Tries to write a note."""
        return (store or self.store).notes.write(name, text, after=after, keep=keep or self.keep, durable=durable)

    def noted(self, name: str, text: bytes, *, after: int = 0, keep: timedelta | None = None) -> int:
        """The version of a note, whose write must succeed."""
        written = self.write(name, text, after=after, keep=keep)
        assert isinstance(written, Written), f"it says something else: {written}"
        return written.version

    def text(self, name: str) -> bytes | None:
        """What a note says, to a client of its own."""
        note = self.open().notes.read(name)
        return None if note is None else note.text

    def together(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """What calls return that begin at the same moment, each in a thread of its own."""
        start = Barrier(len(calls))

        def begin(call: Callable[[], T]) -> T:
            start.wait(60)
            return call()

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(begin, calls))
