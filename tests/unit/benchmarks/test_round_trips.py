"""How often a client waits is what is counted, not how many pieces come."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from cloudq.core.store import Claimed, ClaimKey
from cloudq.stores.opening import open_store
from tests.benchmarks.round_trips import RoundTrips
from tests.servers.shared import ROOT


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says what it is told, line by line."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as lines:
            for line in lines:
                lines.write(line)
                lines.flush()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    thread.join(20)
    listener.close()


def test_what_is_sent_before_an_answer_is_one_round_trip(echo: int) -> None:
    """However many pieces it is sent in."""
    with (
        RoundTrips(echo) as between,
        socket.create_connection(("127.0.0.1", between.port)) as client,
        client.makefile("rb") as lines,
    ):
        for number in range(1, 4):
            client.sendall(b"a line ")
            client.sendall(b"in two pieces\n")
            assert lines.readline() == b"a line in two pieces\n"
            assert between.count == number


@pytest.mark.slow
def test_a_claim_and_its_completion_on_dynamodbs_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says yes to both, and each is a round trip."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    command = [sys.executable, "-m", "tests.benchmarks.stand_in.table"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with RoundTrips(int(process.stdout.readline())) as between:
            store = open_store(
                f"dynamodb://claims?region=eu-west-1&endpoint_url=http://127.0.0.1:{between.port}", namespace="app"
            )
            before, minute = between.count, timedelta(minutes=1)
            claimed = store.claim(ClaimKey("t", "1"), owner="me", lease=minute, fingerprint=None, keep=minute)
            assert isinstance(claimed, Claimed)
            assert store.complete(ClaimKey("t", "1"), claimed.token, result=None, keep=minute)
            assert between.count - before == 2
            store.close()
        process.terminate()
