"""`ParentsStore`: the store's whole contract holds, though each call and answer travels between two processes."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from cloudq.core.store import Store
from cloudq.stores.memory import MemoryStore
from cloudq.testing import FakeClock
from cloudq.testing.redelivery.parents_store import ParentsStore, carry_out
from cloudq.testing.stores import StoreConformance, StoreHarness


def over_the_line(store: Store) -> ParentsStore:
    """The child's side of it: what it says and what it hears are bytes."""

    def ask(method, arguments):
        said = msgspec.msgpack.decode(msgspec.msgpack.encode([method, arguments]))
        return msgspec.msgpack.decode(msgspec.msgpack.encode(carry_out(store, *said)))

    return ParentsStore(ask)


class Harness(StoreHarness):
    """A memory store of the parent's, for each namespace."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.stores: dict[str, MemoryStore] = {}

    def open(self, namespace: str = "kit") -> Store:
        return over_the_line(self.stores.setdefault(namespace, MemoryStore(self.clock)))

    def advance(self, delta: timedelta) -> None:
        self.clock.advance(delta)


class TestParentsStore(StoreConformance):
    """As the memory store behind it."""

    def harness(self) -> StoreHarness:
        return Harness()


def test_a_parent_without_a_store_says_so():
    """A child that claims all the same would else claim nothing."""
    with pytest.raises(RuntimeError, match="its parent has none"):
        carry_out(None, "sweep", {"limit": 1})
