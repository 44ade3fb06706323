"""How the SDK's connections open and close: in bounded time, and leaving no socket behind.

Private parts are used here as in `sdk.py`.

While a connection is opened, the SDK reads without any time limit: a service, or what stands before it, that takes the
connection and then says nothing would hold up for ever whoever opens, and with them all who wait for the link.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from azure.servicebus._pyamqp._connection import Connection
from azure.servicebus._pyamqp.error import AMQPConnectionError, ErrorCondition

# For one answer while a connection is opened: of TLS, of SASL, of AMQP.
PATIENCE: Final = timedelta(seconds=10)


def mend(handler: Any) -> None:
    """Has a handler that isn't open yet open in bounded time, and close its socket in any case."""
    _open_in_time(handler)
    _without_leak(handler)


def _open_in_time(handler: Any) -> None:
    open_ = handler.open

    def opened(connection: Any = None) -> None:
        if connection is None and handler._connection is None:
            # As the SDK would make it.
            handler._connection = made = Connection(
                f"{'amqps' if handler._use_tls else 'amqp'}://{handler._hostname}",
                sasl_credential=handler._auth.sasl,
                ssl_opts=handler._ssl_opts,
                container_id=handler._name,
                max_frame_size=handler._max_frame_size,
                channel_max=handler._channel_max,
                idle_timeout=handler._idle_timeout,
                properties=handler._properties,
                network_trace=handler._network_trace,
                transport_type=handler._transport_type,
                http_proxy=handler._http_proxy,
                custom_endpoint_address=handler._custom_endpoint_address,
                socket_timeout=handler._socket_timeout,
                use_tls=handler._use_tls,
            )
            _bound(made._transport)
            began = time.monotonic()
            try:
                made.open()
            except (TypeError, ValueError) as error:
                if time.monotonic() - began < PATIENCE.total_seconds():
                    raise
                # The SDK doesn't look whether an answer came before it reads in it.
                said = "no answer came while the connection was opened"
                raise AMQPConnectionError(ErrorCondition.SocketError, description=said) from error
        open_(connection=connection)

    handler.open = opened


def _bound(transport: Any) -> None:
    """Has a transport, not connected yet, wait so long at most where it would wait for ever."""
    set_up = transport._setup_transport

    def set_up_in_time() -> None:
        transport.sock.settimeout(PATIENCE.total_seconds())
        set_up()

    @contextmanager
    def block() -> Iterator[Any]:
        sock = transport.sock
        before = sock.gettimeout()
        sock.settimeout(PATIENCE.total_seconds())
        try:
            yield sock
        finally:
            sock.settimeout(before)

    transport._setup_transport = set_up_in_time
    transport.block = block


def _without_leak(handler: Any) -> None:
    """Has a handler close its socket also where the SDK found the connection cut: it would only be forgotten."""
    close = handler.close

    def close_all() -> None:
        connection = handler._connection
        try:
            close()
        finally:
            if connection is not None:
                connection._transport.close()

    handler.close = close_all
