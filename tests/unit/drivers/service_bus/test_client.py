"""Senders and tokens come in time, or for the next call."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from cloudq.drivers.service_bus import deadlines
from cloudq.drivers.service_bus.client import SENDERS, Clients, TimelyCredential
from tests.integration.processes import wait_until

SHORT = timedelta(milliseconds=100)
PLENTY = timedelta(seconds=60)


class Slow:
    """A credential that gives a token once it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.asked = 0

    def get_token(self, *scopes: str, **options: Any) -> Any:
        self.asked += 1
        self.may.wait(100)
        return (scopes, self.asked)


def test_a_token_that_does_not_come_in_time() -> None:
    """The call ends; the token is asked for once only, and is whose call is there when it comes."""
    slow = Slow()
    credential = TimelyCredential(slow)
    for _ in range(2):
        began = time.monotonic()
        with deadlines.within(SHORT), pytest.raises(TimeoutError):
            credential.get_token("scope")
        assert time.monotonic() - began < 30
    wait_until(lambda: slow.asked > 0, within=60, what="the thread has begun")
    assert 1 == slow.asked
    got: list[Any] = []

    def ask() -> None:
        with deadlines.within(PLENTY):
            got.append(credential.get_token("scope"))

    thread = threading.Thread(target=ask)
    thread.start()
    slow.may.set()
    thread.join(60)
    assert ("scope",) == got[0][0]
    wait_until(lambda: not credential._errand.under_way, within=60, what="the thread has ended")
    with deadlines.within(PLENTY):
        assert (("scope",), slow.asked + 1) == credential.get_token("scope")


def test_a_credential_that_fails() -> None:
    """Its error is the caller's, and the next call asks again."""

    def refuse(*scopes: str) -> None:
        raise PermissionError("no")

    credential = TimelyCredential(SimpleNamespace(get_token=refuse))
    for _ in range(2):
        with deadlines.within(PLENTY), pytest.raises(PermissionError):
            credential.get_token("scope")
        wait_until(lambda: not credential._errand.under_way, within=60, what="the thread has ended")


class Namespace:
    """A client whose senders count how they end."""

    def __init__(self) -> None:
        self.closed = 0

    def get_queue_sender(self, queue: str, **options: Any) -> Any:
        def close() -> None:
            self.closed += 1

        return SimpleNamespace(close=close, _create_handler=None)


def test_a_sender_that_does_not_come_free_in_time() -> None:
    """Who waits behind sends that hang hears of it by the deadline."""
    namespace: Any = Namespace()
    clients = Clients(lambda: namespace, "")
    lent = [clients.sender("mail") for _ in range(SENDERS)]
    for one in lent:
        one.__enter__()
    began = time.monotonic()
    with deadlines.within(SHORT), pytest.raises(TimeoutError, match="none of them ended"), clients.sender("mail"):
        pass
    assert time.monotonic() - began < 30
    for one in lent:
        one.__exit__(None, None, None)
    with clients.sender("mail"):
        pass
    assert 0 == namespace.closed


def test_a_sender_whose_call_came_to_its_deadline_is_not_lent_again() -> None:
    """What it has sent and got no answer for would go out again with what comes next."""
    namespace: Any = Namespace()
    clients = Clients(lambda: namespace, "")
    with deadlines.within(SHORT), clients.sender("mail"):
        wait_until(deadlines.passed, within=60, what="the deadline")
    assert 1 == namespace.closed
