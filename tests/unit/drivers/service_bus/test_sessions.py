"""What keeps a slot from looking for a session is said to whoever waits for one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from azure.servicebus import ServiceBusReceiver

from cloudq.drivers.service_bus.locks import LockSpan
from cloudq.drivers.service_bus.sessions import Sessions
from cloudq.drivers.service_bus.slots import Slot
from cloudq.errors import ConfigurationError
from cloudq.testing.clock import FakeClock

LONG = timedelta(seconds=30)


def broken(wait: timedelta) -> ServiceBusReceiver:
    raise ConfigurationError("no credentials")


def sessions_of(make: Callable[[timedelta], ServiceBusReceiver]) -> Sessions:
    clock = FakeClock()
    return Sessions(make, clock=clock, span=LockSpan(clock), patience=timedelta(seconds=5))


def test_a_receiver_that_can_not_be_made_is_said() -> None:
    """At once, and by the error itself; no slot stays counted, however often it happens."""
    sessions = sessions_of(broken)
    began = time.monotonic()
    for _ in range(10):
        with pytest.raises(ConfigurationError, match="no credentials"):
            sessions.receive(5, LONG)
    assert time.monotonic() - began < 25
    sessions.close()
    assert sessions._seeking == 0
    assert not sessions._slots


def test_a_thread_that_can_not_be_started_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """And once there are threads again, slots are started as ever."""
    sessions = sessions_of(broken)

    def no_thread(slot: Slot) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Slot, "start", no_thread)
    for _ in range(10):
        with pytest.raises(RuntimeError, match="can't start"):
            sessions.receive(5, LONG)
    monkeypatch.undo()
    with pytest.raises(ConfigurationError):
        sessions.receive(5, LONG)
    sessions.close()
