"""`open_url`: what a `dynamodb://TABLE` says, and the store it opens."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from cloudq.aws_wire.clients import Clients
from cloudq.aws_wire.wires import wire_named
from cloudq.core.clock import Clock
from cloudq.core.plain_text import ALLOW_INSECURE, allows_insecure
from cloudq.core.store_url import StoreUrl
from cloudq.errors import BackendUnavailable, ConfigurationError, StoreUnavailable
from cloudq.stores.dynamodb.client import open_clients
from cloudq.stores.dynamodb.store import DynamoStore

_TABLE: Final = re.compile(r"[A-Za-z0-9_.-]{3,255}")


def open_url(url: StoreUrl, namespace: str, timeout: timedelta, clock: Clock) -> DynamoStore:
    """The store in the table that the URL names; region and credentials come from the SDK's own chain.

    Raises:
        ConfigurationError: The URL can't be used, or the SDK knows no region.
        StoreRefused: There is no such table, or it may not be read.
        StoreUnavailable: It can't be reached, or the credentials weren't found in time.
    """
    table = url.host
    if not _TABLE.fullmatch(table) or url.path:
        raise ConfigurationError("dynamodb:// takes the name of a table", hint="dynamodb://cloudq?region=eu-west-1")
    if url.user is not None or url.password is not None:
        raise ConfigurationError(
            "the dynamodb:// URL holds credentials", hint="leave them to the environment, as the SDK reads them"
        )
    store = DynamoStore(clients_of(url, timeout), table, namespace, clock=clock, timeout=timeout)
    try:
        store.check()
    except BaseException:
        store.close()
        raise
    return store


def clients_of(url: StoreUrl, timeout: timedelta) -> Clients:
    """The botocore clients that the URL describes, of this process and of those that it forks.

    Raises:
        ConfigurationError: The URL can't be used, or the SDK knows no region.
        StoreUnavailable: The credentials weren't found in time.
    """
    options = url.options("region", "endpoint_url", "wire", ALLOW_INSECURE)
    endpoint = options.get("endpoint_url")
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(
            "endpoint_url starts with neither http:// nor https://", hint="endpoint_url=http://localhost:4566"
        )
    try:
        return open_clients(
            options.get("region"),
            endpoint,
            timeout=timeout,
            allow_insecure=allows_insecure(url),
            wire=wire_named(options.get("wire", "auto")),
        )
    except BackendUnavailable as error:
        raise StoreUnavailable(str(error)) from error
