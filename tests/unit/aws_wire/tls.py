"""TLS on this machine: certificates that sign themselves, a server that may ask for one, and proxies."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.chaos.raw_answers import RawServer


def certify(path: Path, name: str = "localhost") -> Path:
    """Writes a key and a certificate of its own for a host into a file, and returns it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class TlsServer(RawServer):
    """A `RawServer` behind TLS, which with `clients` wants a certificate of theirs too."""

    def __init__(self, respond: Any, certificate: Path, clients: Path | None = None) -> None:
        super().__init__(respond)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients)
        # Each handshake is made where its connection is served: one that fails ends no other.
        self._listener = context.wrap_socket(self._listener, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://localhost:{self.port}"


class ConnectProxy:
    """`with ConnectProxy() as proxy: proxy.url`. Tunnels what `CONNECT` asks for to this machine, or refuses it.

    Args:
        status: How it answers to `CONNECT`.
        certificate: By which it is spoken to behind TLS itself.

    Attributes:
        requests: The heads that it was sent.
    """

    def __init__(self, status: str = "200 Connection established", certificate: Path | None = None) -> None:
        self._status = status
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        port = self._listener.getsockname()[1]
        self.url = f"http://user:pass%40word@127.0.0.1:{port}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._listener = context.wrap_socket(self._listener, server_side=True, do_handshake_on_connect=False)
            self.url = f"https://localhost:{port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            self.requests.append(head)
            client.sendall(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
            if not self._status.startswith("200"):
                return
            port = int(head.split()[1].rpartition(b":")[2])
            with socket.create_connection(("127.0.0.1", port)) as server:
                back = threading.Thread(target=_pour, args=(server, client), daemon=True)
                back.start()
                _pour(client, server)
                back.join()


def _pour(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


class OneByOne:
    """`with OneByOne(*turns) as server: server.url`. Each connection is served by the next turn, which may close it.

    Args:
        turns: Each is given its connection, and may read requests from it by `read`.
    """

    def __init__(self, *turns: Callable[[socket.socket], object]) -> None:
        self._turns = turns
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # else who waits for a connection would go on waiting
        self._listener.close()
        self._thread.join(60)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            for turn in self._turns:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):  # the client may be gone
                    turn(connection)
