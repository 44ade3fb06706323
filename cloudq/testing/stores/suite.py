"""`StoreConformance`: all behaviours, for one store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import pytest

from cloudq.testing.stores.bench import StoreBench
from cloudq.testing.stores.claiming import Claiming
from cloudq.testing.stores.fencing import Fencing
from cloudq.testing.stores.harness import StoreHarness
from cloudq.testing.stores.keeping import Keeping
from cloudq.testing.stores.limiting import Limiting
from cloudq.testing.stores.noting import Noting
from cloudq.testing.stores.running import Running


class StoreConformance(Claiming, Fencing, Keeping, Limiting, Noting, Running, ABC):
    """What a store must do. Subclass it in a test file, by a class whose name starts with `Test`.

    Example:
        >>> class TestMyStore(StoreConformance):
        ...     def harness(self) -> StoreHarness:
        ...         return MyHarness()
    """

    @abstractmethod
    def harness(self) -> StoreHarness:
        """The store, empty. Called once a test."""

    @pytest.fixture
    def bench(self) -> Iterator[StoreBench]:
        """The store under test."""
        bench = StoreBench(self.harness())
        yield bench
        bench.close()
