"""`Serving`: what a polling worker serves over HTTP, health pages and metrics; both from one view of how it stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cloudq.core.clock import Clock
from cloudq.core.safe_log import SafeLogger
from cloudq.running.events import Snapshot
from cloudq.telemetry.standing import Failing, OutageKind, Standing
from cloudq.worker.health import Health
from cloudq.worker.outages import Outages, Pollers
from cloudq.worker.settings import WorkerSettings

if TYPE_CHECKING:
    from cloudq.running.metrics import MetricsServer
    from cloudq.running.pages import HealthServer
    from cloudq.telemetry.prometheus import Metrics

logger = SafeLogger("cloudq.worker")

_OF_A_QUEUE: Final = (OutageKind.RECEIVE, OutageKind.SETTLE, OutageKind.STORE, OutageKind.UNKNOWN_TASKS)
# The store may be down and no queue stopped for it: a burst leaves what waits where it is.
_OF_NONE: Final = (OutageKind.STORE, OutageKind.LEASES)


class Serving:
    """The servers, which listen from the start on and answer once they are started.

    Args:
        settings: Where they listen.
        pollers: The watchdog.
        outages: What fails now.
        metrics: What is counted; `None` where no metrics are served.
        keeper_alive: As those of `Health`, all from here on.
        starved: Whether nothing can be started.
        stopping: Whether the worker has been told to stop.
        snapshot: The worker's counts.
        clock: Where the time comes from.

    Raises:
        ConfigurationError: An address can't be listened on.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        pollers: Pollers,
        outages: Outages,
        metrics: Metrics | None,
        *,
        keeper_alive: Callable[[], bool],
        starved: Callable[[], bool],
        stopping: Callable[[], bool],
        snapshot: Callable[[], Snapshot],
        clock: Clock,
    ) -> None:
        self._slots = settings.slots
        self._health = Health(
            pollers,
            outages,
            keeper_alive=keeper_alive,
            starved=starved,
            stopping=stopping,
            snapshot=snapshot,
            clock=clock,
        )
        self._pollers = pollers
        self._outages = outages
        self._snapshot = snapshot
        self.health: HealthServer | None = None
        self.metrics: MetricsServer | None = None
        if settings.health is not None:
            from cloudq.running.pages import HealthServer

            self.health = HealthServer(settings.health, self._health)
        if settings.metrics is not None and metrics is not None:
            from cloudq.running.metrics import MetricsServer

            metrics.watch(self.standing)
            try:
                self.metrics = MetricsServer(settings.metrics, metrics)
            except BaseException:
                self.stop()
                raise

    def start(self) -> None:
        """Starts to answer, and says where."""
        if self.health is not None:
            self.health.start()
            logger.info("health pages on http://%s/healthz and /readyz", self.health.place)
        if self.metrics is not None:
            self.metrics.start()
            logger.info("metrics on http://%s/metrics", self.metrics.place)

    def stop(self) -> None:
        """Stops listening at once."""
        for server in (self.health, self.metrics):
            if server is not None:
                server.stop()

    def standing(self) -> Standing:
        """How the worker stands now, for its metrics."""
        counts = self._snapshot()
        failing = {(outage.kind, outage.queue or "") for outage in self._outages.now()}
        may_fail = [(kind, poller.queue) for poller in self._pollers.pollers for kind in _OF_A_QUEUE]
        may_fail += [(kind, "") for kind in _OF_NONE]
        return Standing(
            ready=self._health.readyz().ok,
            slots=self._slots,
            waiting=counts.waiting,
            running=counts.running,
            settling=counts.settling,
            failing=[Failing(kind, queue, (kind, queue) in failing) for kind, queue in may_fail],
            polls_replaced=counts.pollers_replaced,
            children_died=counts.children_died,
        )
