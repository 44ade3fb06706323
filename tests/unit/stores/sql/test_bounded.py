"""PostgreSQL's silence in bounds. The server itself: tests/conformance/test_store_silence.py."""

from __future__ import annotations

import socket
import threading
import time
from datetime import timedelta

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from cloudq.stores.sql.bounded import bound


def greets(server: socket.socket) -> None:
    """As PostgreSQL does until the first statement, to which it says nothing."""
    client, _ = server.accept()
    with client:
        length = int.from_bytes(client.recv(4))
        asked = client.recv(length - 4)
        if asked == (80877103).to_bytes(4):  # for TLS
            client.sendall(b"N")
            length = int.from_bytes(client.recv(4))
            client.recv(length - 4)
        version = b"server_version\x0016.0\0"
        client.sendall(b"R" + (8).to_bytes(4) + bytes(4))  # nothing to authenticate with
        client.sendall(b"S" + (4 + len(version)).to_bytes(4) + version)
        client.sendall(b"Z" + (5).to_bytes(4) + b"I")  # ready
        while client.recv(4096):
            pass


def test_a_server_that_takes_a_statement_and_never_answers_is_given_up() -> None:
    """Within the limit; the connection is closed, as the answer may come yet."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=greets, args=(server,), daemon=True).start()
        port = server.getsockname()[1]
        engine = create_engine(
            f"postgresql+psycopg://app@127.0.0.1:{port}/d", isolation_level="AUTOCOMMIT", pool_pre_ping=False
        )
        bound(engine, timedelta(seconds=0.5))
        began = time.monotonic()
        with pytest.raises(OperationalError, match=r"silent for 0\.5 s"):
            engine.connect()
        assert 0.4 < time.monotonic() - began < 60
        engine.dispose()
