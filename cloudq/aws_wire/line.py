"""`Line`: a botocore client's connections to its endpoint, for requests written and answers read here.

They are those of the client's own pool, opened by urllib3: its TLS, certificates, proxies and options. One that was
dropped while it was idle is noticed, and opened anew. What goes wrong is raised as botocore raises it, and never tried
again: what was sent may have been carried out.
"""

from __future__ import annotations

import os
import ssl
from contextlib import suppress
from http.client import HTTPException
from typing import Any, Final

from cloudq.aws_wire.bounded import left
from cloudq.aws_wire.connections import binds, keeps_to_deadlines
from cloudq.aws_wire.http_answer import Answer, AnswerReader
from cloudq.aws_wire.http_bodies import BrokenAnswer
from cloudq.aws_wire.service import Unusual

_PIECE: Final = 64 * 1024
_PROXY_HOST: Final = "BOTO_EXPERIMENTAL__ADD_PROXY_HOST_HEADER"


class Line:
    """The connections to one endpoint.

    Args:
        client: The botocore client.
        url: The endpoint.
        most_body: The most bytes that an answer's body may have.

    Attributes:
        opening: The first lines of each request, its line and what a proxy wants to read.

    Raises:
        Unusual: Its connections aren't such that their calls end in time.
    """

    def __init__(self, client: Any, url: str, most_body: int) -> None:
        import urllib3.util.url as urls
        from urllib3.util.proxy import connection_requires_http_tunnel

        if not binds(client):
            raise Unusual("its connections keep to no deadline")
        if os.environ.get(_PROXY_HOST):
            raise Unusual(f"{_PROXY_HOST} is set")
        self._http = http = client._endpoint.http_session
        self._url = url
        self._most_body = most_body
        self._proxy: str | None = http._proxy_config.proxy_url_for(url)
        self._pool = pool = self._open_pool()
        self._tunnels = connection_requires_http_tunnel(pool.proxy, pool.proxy_config, pool.scheme)
        headers = {} if self._tunnels else pool.proxy_headers
        target: str = http._get_request_target(url, self._proxy)
        # As urllib3 does: a path of the endpoint's own may have characters that no line of a request has.
        target = urls._encode_target(target) if target.startswith("/") else urls.parse_url(target).url
        self.opening = "".join(
            [
                f"POST {target} HTTP/1.1\r\n",
                *(f"{name}: {value}\r\n" for name, value in headers.items()),
            ]
        )

    def exchange(self, request: bytes) -> Answer:
        """Sends a request and reads the answer, by this thread's deadline.

        Raises:
            BrokenAnswer: The answer isn't whole, or none of HTTP/1.1.
            HTTPClientError: Botocore's, and its kinds: there is no connection, or it broke.
        """
        pool, connection = self._take()
        again = False
        try:
            sock = connection.sock
            if sock is None:
                sock = self._connect(pool, connection)
            if left() is None:
                sock.settimeout(pool.timeout.read_timeout)
            answer = self._converse(sock, request)
            again = answer.again
        except BrokenAnswer:
            raise
        except Exception as error:
            raise self._meant(error, connection) from error
        finally:
            # First this, whatever interrupts what: a connection on which an answer is still to come is no one's.
            if not again:
                connection.close()
            pool._put_conn(connection)
        return answer

    def close(self) -> None:
        """Closes the connections that are idle; one in use is closed at the end of its call. A later call opens one."""
        pool = self._pool
        self._http.close()  # or it would give this pool again, closed, for each later call: the client's own, too
        pool.close()

    def _open_pool(self) -> Any:
        http, url = self._http, self._url
        pool = http._get_connection_manager(url, self._proxy).connection_from_url(url)
        http._setup_ssl_cert(pool, url, http._verify)
        return pool

    def _take(self) -> tuple[Any, Any]:
        from urllib3.exceptions import ClosedPoolError

        while True:  # it may be closed again meanwhile
            pool = self._pool
            try:
                connection = pool._get_conn()
            except ClosedPoolError:  # botocore opens another one, too
                self._pool = self._open_pool()
                continue
            if not keeps_to_deadlines(connection):  # a recorder's, which is gone
                connection.close()
                connection = pool._new_conn()
            return pool, connection

    def _connect(self, pool: Any, connection: Any) -> Any:
        if self._tunnels:
            pool._prepare_proxy(connection)
        pool._validate_conn(connection)  # which opens those that are encrypted, and warns of what isn't verified
        if connection.sock is None:
            connection.connect()
        return connection.sock

    def _converse(self, sock: Any, request: bytes) -> Answer:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent? The answer says why
            sock.sendall(request)
        reader = AnswerReader(self._most_body)
        while (answer := reader.feed(sock.recv(_PIECE))) is None:
            pass
        return answer

    def _meant(self, error: Exception, connection: Any) -> Exception:
        """The error that botocore's own session raises for it."""
        from botocore import exceptions as sdk
        from botocore.httpsession import mask_proxy_url
        from urllib3 import exceptions as pool

        if connection.proxy and not connection.has_connected_to_proxy:
            refused: Exception = sdk.ProxyConnectionError(proxy_url=mask_proxy_url(self._proxy), error=error)
            return refused
        kinds: dict[Any, Any] = {
            (pool.SSLError, ssl.SSLError, ssl.CertificateError): sdk.SSLError,
            pool.NewConnectionError: sdk.EndpointConnectionError,
            pool.ConnectTimeoutError: sdk.ConnectTimeoutError,
            TimeoutError: sdk.ReadTimeoutError,
            (OSError, HTTPException): sdk.ConnectionClosedError,  # the second of a proxy's answer to CONNECT
        }
        kind = next((meant for raised, meant in kinds.items() if isinstance(error, raised)), sdk.HTTPClientError)
        meant: Exception = kind(endpoint_url=self._url, error=error)
        return meant
