"""The in-process backend: `memory://`. Nothing outlives the process; for tests, and for trying things out."""

from cloudq.drivers.memory.driver import MemoryDriver

__all__ = ["MemoryDriver"]
