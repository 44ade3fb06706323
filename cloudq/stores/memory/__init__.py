"""The store in this process's memory: for tests, and for a worker that is alone and may forget."""

from cloudq.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
