"""`Serving`: what a polling worker serves over HTTP."""

from __future__ import annotations

from collections.abc import Callable

from cloudq.core.clock import Clock
from cloudq.core.safe_log import SafeLogger
from cloudq.running.events import Snapshot
from cloudq.running.pages import HealthServer
from cloudq.worker.health import Health
from cloudq.worker.outages import Outages, Pollers

logger = SafeLogger("cloudq.worker")


class Serving:
    """The servers, which listen from the start on and answer once they are started.

    Args:
        address: Where the health pages are served.
        pollers: The watchdog.
        outages: What fails now.
        keeper_alive: As those of `Health`, all from here on.
        starved: Whether nothing can be started.
        stopping: Whether the worker has been told to stop.
        snapshot: The worker's counts.
        clock: Where the time comes from.

    Raises:
        ConfigurationError: The address can't be listened on.
    """

    def __init__(
        self,
        address: tuple[str, int],
        pollers: Pollers,
        outages: Outages,
        *,
        keeper_alive: Callable[[], bool],
        starved: Callable[[], bool],
        stopping: Callable[[], bool],
        snapshot: Callable[[], Snapshot],
        clock: Clock,
    ) -> None:
        health = Health(
            pollers,
            outages,
            keeper_alive=keeper_alive,
            starved=starved,
            stopping=stopping,
            snapshot=snapshot,
            clock=clock,
        )
        self.health = HealthServer(address, health)

    def start(self) -> None:
        """Starts to answer, and says where."""
        self.health.start()
        logger.info("health pages on http://%s:%d/healthz and /readyz", *self.health.address)

    def stop(self) -> None:
        """Stops listening at once."""
        self.health.stop()
