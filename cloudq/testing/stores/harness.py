"""`StoreHarness`: how the store conformance kit reaches one store. The only thing that a store's author writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import timedelta

from cloudq.core.store import Store


class StoreHarness(ABC):
    """One store, empty, for one test, whose time the kit can let pass.

    Attributes:
        unit: The kit's unit of time: leases are a few of it, and keeps some more.
        margin: How much later than at its end a claim is over for others, less than a `unit`: where processes have no
            common clock.
        sweeps: Whether what was kept for long enough goes by `Store.sweep`; otherwise the server sees to it.
    """

    unit = timedelta(minutes=1)
    margin = timedelta(0)
    sweeps = True

    @abstractmethod
    def open(self, namespace: str = "kit") -> Store:
        """A store on the empty server, as another process would open it too. The kit closes it."""

    @abstractmethod
    def advance(self, delta: timedelta) -> None:
        """Lets the time pass that the store goes by: its server's where it has one."""

    def step(self, delta: timedelta) -> None:  # noqa: B027 - a store whose server has the time doesn't ask this machine
        """Sets the clock of the machine that the stores are opened on; no time passes, and a server's own stays."""

    def close(self) -> None:  # noqa: B027 - most harnesses have nothing to remove
        """Removes what the harness made. Called once, after the stores were closed."""
