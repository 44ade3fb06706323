"""Connections whose calls end in time: each byte sent or received, each address and each name keeps to the deadline.

It takes private parts of botocore (`client._endpoint.http_session`, since its clients take no class of connection) and
of urllib3 (`_new_conn`). Where botocore has changed them, calls are bounded by its own timeouts, as they were before.
"""

from __future__ import annotations

import os
import socket
import ssl
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import urllib3.util.connection
from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from cloudq.aws_wire.bounded import SharedCall, left
from cloudq.aws_wire.idle import Idle
from cloudq.aws_wire.shipped import is_shipped
from cloudq.core.clock import monotonic

# Where nobody set a deadline: calls that the program itself makes with the driver's client.
_UNBOUNDED: Final = 60.0
# Each address is tried for at least this long, if that much time is left: a lost packet is sent again after a second.
_SHARE: Final = 1.2
# Whose sockets, besides Python's, can be made to keep to deadlines. Those of others stand in for the network.
_GREENLETS: Final = frozenset({"gevent", "eventlet"})

_Found = list[tuple[Any, ...]]
_lookups: dict[tuple[str, int], SharedCall[_Found]] = {}


def bind(client: Any) -> None:
    """Has the connections that `client` opens from now on keep to the deadline of the thread that uses them."""
    http: Any = getattr(getattr(client, "_endpoint", None), "http_session", None)
    manager: Any = getattr(http, "_manager", None)
    if not hasattr(manager, "pool_classes_by_scheme"):
        return
    # The second for the proxies, whose managers are made when they are needed.
    manager.pool_classes_by_scheme = http._pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


def binds(client: Any) -> bool:
    """Whether it has them do so."""
    manager: Any = getattr(getattr(getattr(client, "_endpoint", None), "http_session", None), "_manager", None)
    return getattr(manager, "pool_classes_by_scheme", None) == {"http": _Pool, "https": _TlsPool}


def keeps_to_deadlines(connection: Any) -> bool:
    """Whether it is one of ours, or will be once it is open: not one from the time when somebody's own were used."""
    if not isinstance(connection, (_Connection, _TlsConnection)):
        return False
    sock = connection.sock
    # The last is a socket in a tunnel through a proxy that is spoken to by TLS itself.
    return sock is None or isinstance(sock, _InTime) or isinstance(getattr(sock, "socket", None), _InTime)


class _InTime:
    """What both kinds of socket do: never wait for longer than is left.

    The sockets of gevent and eventlet take other parameters than Python's, and call these methods with them.
    """

    def recv(self, *arguments: Any, **more: Any) -> bytes:
        _keep_to_the_deadline(self)
        data: bytes = super().recv(*arguments, **more)  # type: ignore[misc]  # of the socket's own class
        return data

    def recv_into(self, *arguments: Any, **more: Any) -> int:
        _keep_to_the_deadline(self)
        count: int = super().recv_into(*arguments, **more)  # type: ignore[misc]  # of the socket's own class
        return count

    def send(self, *arguments: Any, **more: Any) -> int:
        _keep_to_the_deadline(self)
        count: int = super().send(*arguments, **more)  # type: ignore[misc]  # of the socket's own class
        return count

    def sendall(self, *arguments: Any, **more: Any) -> None:
        _keep_to_the_deadline(self)
        super().sendall(*arguments, **more)  # type: ignore[misc]  # of the socket's own class


@cache
def _in_time(kind: type[socket.socket]) -> type[socket.socket]:
    """A plain socket's class: of the kind that `socket.socket` is now, as a library of greenlets may replace it."""
    return type("_Socket", (_InTime, kind), {})


class _TlsSocket(_InTime, ssl.SSLSocket):
    """A TLS socket. Made by its context, never by its constructor."""

    def do_handshake(self, *arguments: Any) -> None:
        _keep_to_the_deadline(self)
        super().do_handshake(*arguments)


class _Connection(AWSHTTPConnection):  # type: ignore[misc]  # botocore has no types
    """A plain connection."""

    def _new_conn(self) -> socket.socket:
        return _open_socket(self) if _may_open() else super()._new_conn()


class _TlsConnection(AWSHTTPSConnection):  # type: ignore[misc]  # botocore has no types
    """A TLS connection."""

    def connect(self) -> None:
        if isinstance(self.ssl_context, ssl.SSLContext):
            self.ssl_context.sslsocket_class = _TlsSocket
        super().connect()

    def _connect_tls_proxy(self, *arguments: Any, **more: Any) -> Any:
        sock = super()._connect_tls_proxy(*arguments, **more)
        if type(sock) is ssl.SSLSocket:  # of a context that urllib3 has made for the proxy alone
            sock.__class__ = _TlsSocket
        return sock

    def _new_conn(self) -> socket.socket:
        return _open_socket(self) if _may_open() else super()._new_conn()


class _Pool(AWSHTTPConnectionPool):  # type: ignore[misc]  # botocore has no types
    ConnectionCls = property(lambda _: _unless_replaced(_Connection, AWSHTTPConnection, AWSHTTPConnectionPool))
    QueueCls = Idle


class _TlsPool(AWSHTTPSConnectionPool):  # type: ignore[misc]  # botocore has no types
    ConnectionCls = property(lambda _: _unless_replaced(_TlsConnection, AWSHTTPSConnection, AWSHTTPSConnectionPool))
    QueueCls = Idle


def _unless_replaced(ours: type, botocores: type, pool: Any) -> type:
    """Our class, unless somebody's own is in the place of botocore's: a recorder's, which is to see all calls."""
    found: type = pool.ConnectionCls
    return ours if found is botocores else found


def _may_open() -> bool:
    """Whether sockets are opened here: not where somebody's own are to be used, which keep tests off the network."""
    green = socket.socket.__module__.partition(".")[0] in _GREENLETS
    return (green or is_shipped(socket.socket)) and is_shipped(urllib3.util.connection.create_connection)


def _keep_to_the_deadline(sock: Any) -> None:
    seconds = left()
    if seconds is None:
        return  # urllib3 has set the SDK's own timeout
    if seconds <= 0:
        raise TimeoutError("the call has taken as long as it may")
    sock.settimeout(seconds)


def _open_socket(connection: Any) -> socket.socket:
    seconds = left()
    if seconds is None:
        seconds = connection.timeout if isinstance(connection.timeout, (int, float)) else _UNBOUNDED
    host = connection._dns_host.strip("[]")
    sys.audit("http.client.connect", connection, host, connection.port)  # as http.client does
    try:
        return _connect(host, connection.port, seconds, connection.socket_options or (), connection.source_address)
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, f"{host} didn't answer in time: {error}") from error
    except OSError as error:  # a name that isn't known among them
        raise NewConnectionError(connection, f"no connection to {host}: {error}") from error


def _connect(host: str, port: int, seconds: float, options: Sequence[Any], source: Any) -> socket.socket:
    """Tries one address after the other, each for a share of the time that is left."""
    end = monotonic() + seconds
    failure = OSError("its name has no address")
    found = _addresses(host, port, seconds)
    for place, (family, kind, protocol, _, address) in enumerate(found):
        rest = end - monotonic()
        if rest <= 0:
            break
        sock = _in_time(socket.socket)(family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.settimeout(min(rest, max(_SHARE, rest / (len(found) - place))))
            if source:
                sock.bind(source)
            sock.connect(address)
        except OSError as error:
            failure = error
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            sock.settimeout(max(0.001, end - monotonic()))  # for the handshake
            return sock
    raise failure


def _addresses(host: str, port: int, seconds: float) -> _Found:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass  # it is a name
    lookup = _lookups.get((host, port))
    if lookup is None:
        lookup = _lookups[host, port] = SharedCall(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    return lookup.result(seconds)


# A lookup under way is the parent's, and a lock of one may be taken by a thread that isn't here.
os.register_at_fork(after_in_child=_lookups.clear)
