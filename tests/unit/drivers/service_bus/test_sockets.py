"""A socket and a name end with the call that they are for, though each byte comes in time."""

from __future__ import annotations

import socket
from datetime import timedelta
from types import SimpleNamespace

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
        assert (2, bytearray(b"cd\0\0")) == (timely.recv_into(memoryview(buffer)), buffer)
        assert one.fileno() == timely.fileno()
        other.sendall(b"e")
        with deadlines.within(ZERO):
            with pytest.raises(TimeoutError):
                timely.recv_into(memoryview(buffer))
            with pytest.raises(TimeoutError):
                timely.send(b"f")
        timely.until = SYSTEM_CLOCK.elapsed() - timedelta(seconds=1)
        with pytest.raises(TimeoutError):
            timely.recv_into(memoryview(buffer))
        timely.until = None
        assert 1 == timely.recv_into(memoryview(buffer))


def test_what_has_come_is_read_at_once() -> None:
    """And handed on in the parts that are asked for, whatever the deadline; for what hasn't come there is one."""
    one, other = socket.socketpair()
    with one, other:
        timely = TimelySocket(one)
        other.sendall(b"abcdefgh")
        buffer = memoryview(bytearray(3))
        assert not timely.has_more
        assert 3 == timely.recv_into(buffer)
        assert timely.has_more
        one.setblocking(False)
        with pytest.raises(BlockingIOError):
            one.recv(1)
        timely.until = ZERO
        assert (3, b"def") == (timely.recv_into(buffer), bytes(buffer))
        assert (2, b"ghf") == (timely.recv_into(buffer), bytes(buffer))
        assert not timely.has_more
        with pytest.raises(TimeoutError):
            timely.recv_into(buffer)


def test_an_end_is_an_end() -> None:
    """After all that came before it."""
    one, other = socket.socketpair()
    with one:
        timely = TimelySocket(one)
        buffer = memoryview(bytearray(1))
        with other:
            other.sendall(b"ab")
        assert [1, 1, 0] == [timely.recv_into(buffer) for _ in range(3)]


def test_a_time_out_is_the_sockets_once_it_is_used() -> None:
    """One that is set and set back between two reads costs nothing."""
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(7)
        timely = TimelySocket(one)
        assert 7 == timely.gettimeout()
        timely.settimeout(0.01)
        assert (0.01, 7) == (timely.gettimeout(), one.gettimeout())
        with pytest.raises(TimeoutError):
            timely.recv_into(memoryview(bytearray(1)))
        assert 0.01 == one.gettimeout()
        timely.settimeout(5)
        timely.send(b"a")
        assert 5 == one.gettimeout()


def test_the_end_of_tls_is_waited_for_as_long_as_was_said() -> None:
    """It is a read as well."""
    told: list[object] = []
    sock = SimpleNamespace(gettimeout=lambda: None, settimeout=told.append, unwrap=lambda: told.append("unwrap"))
    timely = TimelySocket(sock)
    timely.settimeout(2)
    timely.unwrap()
    assert [2, "unwrap"] == told


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
