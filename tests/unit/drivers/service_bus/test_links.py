"""A link's calls end by their deadline, whoever else has it, and each item of a call has its own answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from azure.servicebus.exceptions import MessageLockLostError, ServiceBusConnectionError, SessionLockLostError

from cloudq.drivers.service_bus import connections, deadlines, links, sdk
from cloudq.drivers.service_bus.links import Link
from cloudq.drivers.service_bus.locks import LockSpan
from cloudq.testing.clock import FakeClock

SHORT = timedelta(milliseconds=100)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Link]:
    """Makes a link whose receiver is open until it is closed."""
    monkeypatch.setattr(sdk, "is_open", lambda receiver: not receiver.closed)
    monkeypatch.setattr(connections, "close", lambda receiver: setattr(receiver, "closed", True))

    def cut() -> Any:
        raise ServiceBusConnectionError(message="cut")

    def made(*, session: bool = False) -> Link:
        receiver: Any = SimpleNamespace(closed=False, session=object())
        link = Link(cut, clock=clock, span=LockSpan(clock), patience=MINUTE, session=receiver if session else None)
        private: Any = link
        private._receiver = receiver
        return link

    return made


@pytest.mark.parametrize(
    "call",
    [
        lambda link: link.settle([("message", "step")])[0],
        lambda link: link.renew(["message"])[0],
        lambda link: link.renew_session(1)[0],
    ],
    ids=["settle", "renew", "renew_session"],
)
def test_a_link_that_others_have_all_the_time(make: Callable[..., Link], call: Callable[[Any], Any]) -> None:
    """Its error is that no answer came in time."""
    link: Any = make()
    link._turn.take()
    began = time.monotonic()
    with deadlines.within(SHORT):
        assert isinstance(call(link), TimeoutError)
        link.close()
    assert time.monotonic() - began < 30
    assert link.closed


def test_a_lock_that_is_lost_hides_no_other(
    make: Callable[..., Link], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service answers for all of a call or for none: each is asked for by itself then."""

    def renew(receiver: Any, messages: Any) -> list[datetime]:
        if "lost" in messages:
            raise MessageLockLostError(message="gone")
        return [clock.now().astimezone(UTC) + MINUTE] * len(messages)

    monkeypatch.setattr(sdk, "renew", renew)
    first, lost, last = make().renew(["one", "lost", "other"])  # type: ignore[list-item]  # nobody looks into them
    assert (clock.elapsed() + MINUTE, clock.elapsed() + MINUTE) == (first, last)
    assert isinstance(lost, MessageLockLostError)


def test_a_renewal_counts_from_before_it(
    make: Callable[..., Link], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that takes its time has granted what it grants when it was asked for."""

    def renew(receiver: Any, messages: Any) -> list[datetime]:
        moment = clock.now() + MINUTE
        clock.advance(MINUTE / 2)
        return [moment + timedelta(hours=1)]  # by a clock that is ahead

    monkeypatch.setattr(sdk, "renew", renew)
    link: Any = make()
    link._span = LockSpan(clock, MINUTE)
    before = clock.elapsed()
    assert [before + MINUTE] == link.renew(["one"])


def test_a_look_finds_a_cut(make: Callable[..., Link], monkeypatch: pytest.MonkeyPatch) -> None:
    """A session ends with it; a link without one opens again at its next use."""

    def cut(receiver: Any, wait: timedelta) -> bool:
        raise ServiceBusConnectionError(message="cut")

    monkeypatch.setattr(sdk, "read", cut)
    session, plain = make(session=True), make()
    assert not session.look()
    assert session.closed
    assert not plain.look()
    assert not plain.closed
    (error,) = session.renew_session(1)
    assert isinstance(error, SessionLockLostError)
    with deadlines.within(MINUTE):
        (error,) = plain.renew(["one"])  # type: ignore[list-item]  # as above
    assert isinstance(error, ServiceBusConnectionError)


def test_a_look_that_finds_nothing(make: Callable[..., Link], monkeypatch: pytest.MonkeyPatch) -> None:
    """The session is still there, and the last moment at which nothing lay unread is now."""
    looks: list[timedelta] = []

    def nothing(receiver: Any, wait: timedelta) -> bool:
        looks.append(wait)
        return False

    monkeypatch.setattr(sdk, "read", nothing)
    monkeypatch.setattr(sdk, "incoming", lambda receiver: SimpleNamespace(empty=lambda: True))
    assert make(session=True).look()
    assert [links.GLANCE] == looks
