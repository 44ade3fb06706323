"""`open_url`: what a `servicebus://NAMESPACE.servicebus.windows.net?prefix=…` says, and the driver it opens."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import Final

from cloudq.core.clock import Clock
from cloudq.core.plain_text import ALLOW_INSECURE, allows_insecure
from cloudq.core.url import BackendUrl, check_port
from cloudq.drivers.service_bus.driver import ServiceBusDriver
from cloudq.drivers.service_bus.limits import MAX_HOLD, MAX_LOCK, MAX_MESSAGE, MIN_LOCK, TIMEOUT
from cloudq.errors import ConfigurationError

# A key has no place in a URL, which is shown.
CONNECTION_STRING_VARIABLE: Final = "CLOUDQ_SERVICEBUS_CONNECTION_STRING"

_ENDPOINT: Final = re.compile(r"Endpoint\s*=\s*sb://([^/;]+)", re.IGNORECASE)
_PARAMETERS: Final = (
    "prefix",
    "dedup_window",
    "max_session_hold",
    "max_message",
    "lock",
    "timeout",
    "admin_endpoint",
    ALLOW_INSECURE,
)
_LEAST_BYTES: Final = 64 * 1024
_MOST_BYTES: Final = 100 * 1024 * 1024
# A third of it is for one call, which may have to open a connection.
LEAST_TIMEOUT: Final = timedelta(seconds=1)


def open_url(url: BackendUrl, clock: Clock) -> ServiceBusDriver:
    """Opens the driver that a URL names.

    Raises:
        ConfigurationError: The URL can't be used.
        BackendError: The backend can't be opened.
    """
    if url.path:
        raise ConfigurationError(
            "servicebus:// takes a namespace and no path",
            hint="servicebus://NAMESPACE.servicebus.windows.net?prefix=prod- for queue names with that prefix",
        )
    parameters = url.only(_PARAMETERS)
    connection_string = os.environ.get(CONNECTION_STRING_VARIABLE) or None
    if not url.host and connection_string is None:
        raise ConfigurationError(
            "servicebus:// names no namespace",
            hint=f"servicebus://NAMESPACE.servicebus.windows.net, or set {CONNECTION_STRING_VARIABLE}",
        )
    _refuse_other_namespace(url.host, connection_string)
    endpoint = parameters.get("admin_endpoint")
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(
            "admin_endpoint starts with neither http:// nor https://", hint="admin_endpoint=http://localhost:4566"
        )
    for address, setting in ((url.host, "servicebus://"), (endpoint or "", "admin_endpoint")):
        check_port(address, setting)
    window = url.seconds("dedup_window", timedelta(0))
    lock = url.seconds("lock", timedelta(0)) or None
    if lock is not None and not MIN_LOCK <= lock <= MAX_LOCK:
        raise ConfigurationError("lock is the queues' lock duration, from 5 to 300 seconds", hint="lock=60")
    timeout = url.seconds("timeout", TIMEOUT)
    if timeout < LEAST_TIMEOUT:
        raise ConfigurationError("no call ends in so short a timeout", hint=f"timeout={TIMEOUT.total_seconds():.0f}")
    return ServiceBusDriver(
        url.host,
        connection_string=connection_string,
        prefix=parameters.get("prefix", ""),
        dedup_window=window or None,
        max_hold=url.seconds("max_session_hold", MAX_HOLD),
        max_message=url.size("max_message", MAX_MESSAGE, least=_LEAST_BYTES, most=_MOST_BYTES),
        lock=lock,
        timeout=timeout,
        admin_endpoint=endpoint,
        allow_insecure=allows_insecure(url),
        clock=clock,
    )


def _refuse_other_namespace(host: str, connection_string: str | None) -> None:
    """Where the URL and the connection string name different namespaces, one of them isn't meant."""
    if not host or connection_string is None:
        return
    found = _ENDPOINT.search(connection_string)
    named = found.group(1).partition(":")[0] if found else ""
    if named.lower() != host.partition(":")[0].lower():
        raise ConfigurationError(
            f"the URL names one namespace, and {CONNECTION_STRING_VARIABLE} another",
            hint=f"unset {CONNECTION_STRING_VARIABLE}, or leave the host out: servicebus://",
        )
