"""The botocore clients of this driver: how they are configured for queues."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final, TypeAlias

from cloudq.aws_wire import clients
from cloudq.aws_wire.wires import Wires
from cloudq.core.capabilities import CALL_TIMEOUT
from cloudq.drivers.sqs.limits import MAX_WAIT

SqsClient: TypeAlias = Any
"""A botocore client of SQS, or what behaves like one. botocore makes its classes at run time, so it has no type."""

# A receive under way holds a connection for a whole long poll, besides those of senders and settlers.
POOL: Final = 64
# Above the long poll, or each idle poll would end as an error.
_READ: Final = MAX_WAIT.total_seconds() + 10

TITLE: Final = "Amazon SQS"
_HINT: Final = "sqs://REGION names the region, e.g. sqs://eu-west-1"


def open_client(
    region: str | None,
    endpoint_url: str | None,
    service: str = "sqs",
    *,
    timeout: timedelta = CALL_TIMEOUT,
    allow_insecure: bool = False,
) -> SqsClient:
    """A client of SQS, or of another service that this driver calls, for long polls (see `clients.open_client`).

    Args:
        region: The region, or `None` for the SDK's own settings.
        endpoint_url: Another endpoint than AWS's, or `None` for the SDK's own settings.
        service: Botocore's name of the service.
        timeout: How long it may take to find the credentials.
        allow_insecure: Whether an endpoint without TLS may be on another machine.

    Raises:
        ConfigurationError: None can be made by these settings.
        BackendUnavailable: The credentials weren't found in time.
    """
    asked = clients.Service(name=service, title=TITLE, hint=_HINT, read_timeout=_READ, pool=POOL)
    return clients.open_client(asked, region, endpoint_url, timeout=timeout, allow_insecure=allow_insecure)


def wires(client: SqsClient) -> Wires:
    """The two ways to make its calls."""
    # Not before a driver is opened, as the SDK itself.
    from cloudq.drivers.sqs.lean import OPERATIONS, LeanClient

    return Wires(client, LeanClient, OPERATIONS, title=TITLE)
