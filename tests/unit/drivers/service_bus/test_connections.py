"""What is read from a connection: by the call's deadline, as frames, and with no regard to how the clock is set."""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from azure.servicebus._pyamqp.error import AMQPConnectionError, AMQPLinkError, ErrorCondition

from cloudq.drivers.service_bus import connections, deadlines

HOUR = 3600.0


class Part(SimpleNamespace):
    """A part of the SDK, as far as it is touched."""

    __hash__ = object.__hash__


def handler_of(listen: Any = lambda: None) -> Any:
    """An open handler whose connection reads by `listen`."""
    connection = Part(_error=None, _last_frame_received_time=100.0, _last_frame_sent_time=None, listen=listen)
    handler = Part(_connection=connection, _cbs_authenticator=Part(_expires_on=4000, _token_put_time=50))
    connections._read_in_time(handler, connection)
    return handler


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_a_clock_that_is_set(step: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither has the connection been silent for an hour, nor has its token an hour more or less to go."""
    handler = handler_of()
    connections.follow_clock(handler)
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + step)
    connections.follow_clock(handler)
    connections.follow_clock(handler)  # it was set once
    assert 100.0 + step == pytest.approx(handler._connection._last_frame_received_time, abs=1)
    assert handler._connection._last_frame_sent_time is None
    authenticator = handler._cbs_authenticator
    assert (4000 + step, 50 + step) == pytest.approx((authenticator._expires_on, authenticator._token_put_time), abs=1)
    assert isinstance(authenticator._expires_on, int)


def test_a_clock_that_is_slewed_changes_nothing() -> None:
    """Time passes, and that is all."""
    handler = handler_of()
    for _ in range(3):
        connections.follow_clock(handler)
    assert (100.0, 4000) == (handler._connection._last_frame_received_time, handler._cbs_authenticator._expires_on)


@pytest.mark.parametrize("error", [ValueError("frame type"), IndexError("list"), KeyError(b"x"), TypeError("None")])
def test_a_frame_that_can_not_be_read_ends_the_connection(error: Exception) -> None:
    """Where the next one begins is anybody's guess: whoever reads on would take one thing for another."""

    def listen() -> None:
        raise error

    handler = handler_of(listen)
    with pytest.raises(AMQPConnectionError, match="can't be read"):
        handler._connection.listen()
    assert isinstance(handler._connection._error, AMQPConnectionError)


def test_what_the_service_refuses_ends_no_connection() -> None:
    """A link's error is the link's."""
    refused = AMQPLinkError(ErrorCondition.NotFound, description="no")

    def listen() -> None:
        raise refused

    handler = handler_of(listen)
    with pytest.raises(AMQPLinkError):
        handler._connection.listen()
    assert handler._connection._error is None


def test_no_read_begins_after_the_deadline() -> None:
    """Wherever in the SDK it is: each of its waits is a loop of reads."""
    reads: list[int] = []
    handler = handler_of(lambda: reads.append(1))
    handler._connection.listen()
    with deadlines.within(timedelta(0)), pytest.raises(TimeoutError):
        handler._connection.listen()
    assert [1] == reads
