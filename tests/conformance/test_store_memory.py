"""The store conformance kit on memory."""

from __future__ import annotations

from datetime import timedelta

from cloudq.core.store import Store
from cloudq.stores.memory import MemoryStore
from cloudq.testing.clock import FakeClock
from cloudq.testing.stores import StoreConformance, StoreHarness


class MemoryHarness(StoreHarness):
    """One store a namespace, as there is no server between them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.stores: dict[str, MemoryStore] = {}

    def open(self, namespace: str = "kit") -> Store:
        return self.stores.setdefault(namespace, MemoryStore(self.clock))

    def advance(self, delta: timedelta) -> None:
        self.clock.advance(delta)

    def step(self, delta: timedelta) -> None:
        self.clock.step(delta)


class TestMemoryStore(StoreConformance):
    """The memory store is the table, word for word."""

    def harness(self) -> StoreHarness:
        return MemoryHarness()
