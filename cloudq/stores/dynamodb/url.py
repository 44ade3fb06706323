"""`open_url`: what a `dynamodb://TABLE` says, and the store it opens."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, Final

from cloudq.core.clock import Clock
from cloudq.core.plain_text import ALLOW_INSECURE, allows_insecure, check_plain_text
from cloudq.core.store_url import StoreUrl
from cloudq.errors import ConfigurationError
from cloudq.stores.dynamodb.store import DynamoStore

_TABLE: Final = re.compile(r"[A-Za-z0-9_.-]{3,255}")


def open_url(url: StoreUrl, namespace: str, timeout: timedelta, clock: Clock) -> DynamoStore:
    """The store in the table that the URL names; region and credentials come from the SDK's own chain.

    Raises:
        ConfigurationError: The URL can't be used, or the SDK knows no region.
    """
    table = url.host
    if not _TABLE.fullmatch(table) or url.path:
        raise ConfigurationError("dynamodb:// takes the name of a table", hint="dynamodb://cloudq?region=eu-west-1")
    if url.user is not None or url.password is not None:
        raise ConfigurationError(
            "the dynamodb:// URL holds credentials", hint="leave them to the environment, as the SDK reads them"
        )
    return DynamoStore(client_of(url, timeout), table, namespace, clock=clock)


def client_of(url: StoreUrl, timeout: timedelta) -> Any:
    """A client of botocore that tries once a call.

    Raises:
        ConfigurationError: The URL can't be used, or the SDK knows no region.
    """
    # Not before a store is opened: they take a tenth of a second to load.
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError
    from botocore.session import get_session

    options = url.options("region", "endpoint_url", ALLOW_INSECURE)
    endpoint = options.get("endpoint_url")
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(
            "endpoint_url starts with neither http:// nor https://", hint="endpoint_url=http://localhost:4566"
        )
    seconds = timeout.total_seconds() / 2
    try:
        client = get_session().create_client(
            "dynamodb",
            region_name=options.get("region"),
            endpoint_url=endpoint,
            config=Config(
                retries={"mode": "standard", "total_max_attempts": 1},
                connect_timeout=seconds,
                read_timeout=seconds,
                tcp_keepalive=True,
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(
            f"no client of Amazon DynamoDB can be made: {error}",
            hint="dynamodb://TABLE?region=eu-west-1 names the region; otherwise the SDK's own settings do",
        ) from error
    setting = "endpoint_url" if endpoint is not None else "AWS_ENDPOINT_URL, or another setting of AWS's SDK,"
    check_plain_text(client.meta.endpoint_url, setting=setting, allowed=allows_insecure(url))
    return client
