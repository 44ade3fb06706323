"""Which client calls for a queue: one that is named by its URL is called at that URL's host."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Protocol, TypeAlias

from cloudq.aws_wire.clients import Clients
from cloudq.drivers.sqs.client import SqsClient, wires
from cloudq.drivers.sqs.hosts import Host, host_of, is_url, required_host

Make: TypeAlias = Callable[[str | None, str | None], SqsClient]
"""Makes a client of a region and an endpoint; `None` is for the SDK's own settings."""


class Route(Protocol):
    """Says who calls."""

    def own(self) -> SqsClient:
        """This process's client for queues that are named by their names."""
        ...

    def client_for(self, queue: str) -> SqsClient:
        """What makes this process's calls for a queue: a client, or what behaves like it.

        Raises:
            UnsupportedError: The queue is named by a URL that isn't on a host of SQS.
            ConfigurationError: No client can be made for it.
            BackendUnavailable: The SDK's chain didn't find credentials in time.
        """
        ...


class _Routes:
    """A driver's own client, and one for each further place, made when it is first needed."""

    def __init__(self, make: Make, region: str | None, endpoint_url: str | None, *, lean: bool = False) -> None:
        self._make = make
        self._wires = wires if lean else None
        self._own = Clients(lambda: make(region, endpoint_url), wires=self._wires)
        self._lock = Lock()
        self._others: dict[tuple[str, str | None], Clients] = {}
        self._passes_opentelemetry = False

    def own(self) -> SqsClient:
        """This process's client for queues that are named by their names."""
        return self._own.get()

    def pass_opentelemetry(self, passes: bool) -> None:
        """Whether its instrumentations are called past by the clients that there are, and those made later."""
        with self._lock:
            self._passes_opentelemetry = passes
            all_ = [self._own, *self._others.values()]
        for clients in all_:
            clients.pass_opentelemetry(passes)

    def close(self) -> None:
        """Closes the connections that are idle; one in use is closed at the end of its call."""
        with self._lock:
            all_ = [self._own, *self._others.values()]
        for clients in all_:
            clients.close()

    def after_fork(self) -> None:
        """In the child: a thread that doesn't exist here may have held a lock."""
        self._lock = Lock()
        for clients in (self._own, *self._others.values()):
            clients.after_fork()

    def _other(self, region: str, endpoint_url: str | None) -> SqsClient:
        with self._lock:
            clients = self._others.get((region, endpoint_url))
        if clients is None:
            # It takes a while, so without the lock.
            made = Clients(lambda: self._make(region, endpoint_url), wires=self._wires)
            with self._lock:
                clients = self._others.setdefault((region, endpoint_url), made)
                clients.pass_opentelemetry(self._passes_opentelemetry)
        return clients.caller()


class Routes(_Routes):
    """The clients of SQS. Where another endpoint than AWS's is set, all goes there, by the driver's own.

    Args:
        make: Makes them.
        region: The driver's own region.
        endpoint_url: The driver's own endpoint.
        lean: Whether calls that repeat may go past botocore.
    """

    def __init__(self, make: Make, region: str | None, endpoint_url: str | None, *, lean: bool = False) -> None:
        super().__init__(make, region, endpoint_url, lean=lean)
        endpoint = host_of(self._own.get().meta.endpoint_url)
        # A VPC's endpoint is one that somebody set, like a server of one's own.
        self._endpoint = endpoint if endpoint is not None and endpoint.ordinary else None

    def client_for(self, queue: str) -> SqsClient:
        """This process's client for a queue (see `Route`)."""
        host = self.host_for(queue)
        return self._own.caller() if host is None else self._other(host.region, self._endpoint_of(host))

    def host_for(self, queue: str) -> Host | None:
        """The host that a queue is called at, by its URL; `None`: the driver's own. No call is made.

        Raises:
            UnsupportedError: The queue is named by a URL that isn't on a host of SQS.
        """
        if self._endpoint is None or not is_url(queue):
            return None
        host = required_host(queue)
        return None if host == self._endpoint else host

    def _endpoint_of(self, host: Host) -> str | None:
        """Where the SDK is set to call FIPS's hosts, say, a URL as SQS gives it means its region's host of that kind.

        SQS gives plain ones only, wherever it was called.
        """
        by_rules = host.plain and self._endpoint is not None and not self._endpoint.plain
        return None if by_rules else f"https://{host.name}"


class RegionRoutes(_Routes):
    """The clients of another service of AWS, which is called in the region of the queue.

    Args:
        make: Makes them.
        queues: Says where a queue is called.
        region: The driver's own region.
        endpoint_url: The driver's own endpoint.
    """

    def __init__(self, make: Make, queues: Routes, region: str | None, endpoint_url: str | None) -> None:
        super().__init__(make, region, endpoint_url)
        self._queues = queues

    def client_for(self, queue: str) -> SqsClient:
        """This process's client for the region of a queue (see `Route`)."""
        host, own = self._queues.host_for(queue), self._own.get()
        return own if host is None or host.region == own.meta.region_name else self._other(host.region, None)
