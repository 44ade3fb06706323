"""The store in memory, beyond what the store conformance kit holds it to."""

from __future__ import annotations

from datetime import timedelta

from cloudq.core.clock import to_micros
from cloudq.core.store import Claimed, ClaimKey, InProgress
from cloudq.stores.memory import MemoryStore
from cloudq.testing.clock import FakeClock

KEY = ClaimKey("billing.charge", "order-1")
MINUTE = timedelta(minutes=1)


def claim(store: MemoryStore, owner: str) -> Claimed | InProgress:
    found = store.claim(KEY, owner=owner, lease=MINUTE, fingerprint=None, keep=MINUTE)
    assert isinstance(found, Claimed | InProgress)
    return found


def test_a_step_of_the_wall_clock_ends_no_claim() -> None:
    """Spans go by the clock that can't be set."""
    clock = FakeClock()
    store = MemoryStore(clock)
    claim(store, "a")
    clock.step(timedelta(days=400))
    assert claim(store, "b") == InProgress(MINUTE, None)
    clock.step(timedelta(days=-800))
    clock.advance(MINUTE)
    assert isinstance(claim(store, "b"), Claimed)


def test_a_token_is_the_time_or_more() -> None:
    """Set back, the clock gives none that was there before, as long as the record is."""
    clock = FakeClock()
    store = MemoryStore(clock)
    first = claim(store, "a")
    assert isinstance(first, Claimed)
    assert first.token == to_micros(clock.now())
    clock.step(timedelta(days=-1))
    clock.advance(MINUTE)
    assert claim(store, "b") == Claimed(first.token + 1)
