"""The botocore clients of this store: how they are configured for a table of claims, and who makes their calls."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Final
from weakref import WeakSet

from cloudq.aws_wire.clients import AwsClient, Clients, Service, open_client
from cloudq.aws_wire.wires import WireName, Wires, wire_named

TITLE: Final = "Amazon DynamoDB"
# A handler's threads claim and complete, and the heartbeat renews.
_POOL: Final = 32
_READ: Final = 15.0

_SERVICE: Final = Service(
    name="dynamodb",
    title=TITLE,
    hint="dynamodb://TABLE?region=eu-west-1 names the region",
    read_timeout=_READ,
    pool=_POOL,
    # By default the SDK changes its endpoint to an account's own as soon as its credentials name the account.
    settings={"account_id_endpoint_mode": "disabled"},
)

_opened: Final[WeakSet[Clients]] = WeakSet()


def open_clients(
    region: str | None,
    endpoint_url: str | None,
    *,
    timeout: timedelta,
    allow_insecure: bool = False,
    wire: WireName = "auto",
) -> Clients:
    """This process's client of DynamoDB, and after a fork the child's.

    Args:
        region: The region, or `None` for the SDK's own settings.
        endpoint_url: Another endpoint than AWS's, or `None` for the SDK's own settings.
        timeout: How long it may take to find the credentials.
        allow_insecure: Whether an endpoint without TLS may be on another machine.
        wire: Who makes the calls.

    Raises:
        ConfigurationError: None can be made by these settings.
        BackendUnavailable: The credentials weren't found in time.
    """

    def make() -> AwsClient:
        return open_client(_SERVICE, region, endpoint_url, timeout=timeout, allow_insecure=allow_insecure)

    clients = Clients(make, wires=_wires if wire_named(wire) == "auto" else None)
    _opened.add(clients)
    return clients


def _wires(client: AwsClient) -> Wires:
    # Not before a store is opened, as the SDK itself.
    from cloudq.stores.dynamodb.lean import OPERATIONS, LeanClient

    return Wires(client, LeanClient, OPERATIONS, title=TITLE)


def _after_fork() -> None:
    for clients in _opened:
        clients.after_fork()


os.register_at_fork(after_in_child=_after_fork)
