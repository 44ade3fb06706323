"""A socket and a name end with the call that they are for, though each byte comes in time."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.drivers.service_bus import deadlines
from cloudq.drivers.service_bus.sockets import TimelySocket, addresses

ZERO = timedelta(0)


def test_a_socket_reads_and_writes_until_the_deadline() -> None:
    """All else is the socket's own."""
    one, other = socket.socketpair()
    with one, other:
        timely = TimelySocket(one)
        buffer = bytearray(4)
        assert 2 == timely.send(b"ab")
        assert b"ab" == other.recv(4)
        other.sendall(b"cd")
        assert (2, bytearray(b"cd\0\0")) == (timely.recv_into(buffer), buffer)
        assert one.fileno() == timely.fileno()
        other.sendall(b"e")
        with deadlines.within(ZERO):
            with pytest.raises(TimeoutError):
                timely.recv_into(buffer)
            with pytest.raises(TimeoutError):
                timely.send(b"f")
        timely.until = SYSTEM_CLOCK.elapsed() - timedelta(seconds=1)
        with pytest.raises(TimeoutError):
            timely.recv_into(buffer)
        timely.until = None
        assert 1 == timely.recv_into(buffer)


def test_the_addresses_of_a_host() -> None:
    """A literal one takes no looking up, and so no time."""
    with deadlines.within(ZERO):
        assert ["127.0.0.1"] == addresses("127.0.0.1", 5672)
        assert ["::1"] == addresses("::1", 5672)
    assert "127.0.0.1" in addresses("localhost", 5672)


def test_a_host_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver's error is the caller's, and the next call asks again."""
    asked: list[str] = []

    def look_up(host: str, *arguments: object, **options: object) -> list[object]:
        asked.append(host)
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    for _ in range(2):
        with pytest.raises(socket.gaierror):
            addresses("nowhere.example", 5672)
    assert 2 >= len(asked) >= 1
