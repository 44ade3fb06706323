"""Dead letters that were leased are given back if the rest can't be had."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from azure.servicebus.exceptions import ServiceBusConnectionError

from cloudq.drivers.service_bus import dead_letters, dispositions, receiving
from cloudq.drivers.service_bus.dead_letters import ServiceBusDeadLetters
from cloudq.drivers.service_bus.links import Taken
from cloudq.errors import BackendUnavailable, ConfigurationError
from cloudq.testing.clock import FakeClock

LEASE = timedelta(minutes=1)


class Link:
    """Hands over two messages, and then is cut."""

    def __init__(self) -> None:
        self.pages: list[Any] = [[Taken(SimpleNamespace(sequence_number=n), LEASE) for n in (1, 2)]]
        self.steps: list[Any] = []

    def receive(self, limit: int, wait: timedelta) -> list[Any]:
        if not self.pages:
            raise ServiceBusConnectionError(message="cut")
        return list(self.pages.pop())

    def settle(self, steps: Any) -> list[None]:
        self.steps += steps
        return [None] * len(steps)


@pytest.mark.parametrize("keys", [None, [f"{1:020d}", f"{9:020d}"]])
def test_what_was_leased_before_an_error_is_released(keys: list[str] | None) -> None:
    """Nobody gets it, so nobody would settle it."""
    link: Any = Link()
    dead = ServiceBusDeadLetters("mail", link=lambda: link, settle=lambda finals: [], clock=FakeClock(), patience=LEASE)
    with pytest.raises(BackendUnavailable):
        dead.take(keys, limit=10, lease=LEASE)
    assert sorted(message.sequence_number for message, _ in link.steps) == [1, 2]
    assert {id(step) for _, step in link.steps} == {id(dispositions.RELEASE)}


@pytest.mark.parametrize(
    ("pages", "unseen"), [([[1, 2, 3]], False), ([[1, 2], [3]], True), ([[1]], False)], ids=["found", "behind", "gone"]
)
def test_a_search_that_ends_at_its_bound_says_so(
    pages: list[list[int]], *, unseen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chosen ones that lie behind more others than it holds aren't gone, nor somebody else's."""
    monkeypatch.setattr(dead_letters, "MOST", 2)
    monkeypatch.setattr(receiving, "dead_delivery", lambda message, lease: message)
    link: Any = Link()
    brought = [[Taken(SimpleNamespace(sequence_number=n), LEASE) for n in page] for page in pages]
    link.pages = [[], *reversed(brought)]
    dead = ServiceBusDeadLetters("mail", link=lambda: link, settle=lambda finals: [], clock=FakeClock(), patience=LEASE)
    dead.take([f"{3:020d}"], limit=1, lease=LEASE)
    assert dead.unseen is unseen


class Peeked:
    """Notes from where it is peeked at."""

    def __init__(self) -> None:
        self.peeked: list[int] = []

    def ask(self, question: Any) -> Any:
        return question(self)

    def peek_messages(self, count: int, *, sequence_number: int) -> list[Any]:
        self.peeked.append(sequence_number)
        return []


@pytest.mark.parametrize("key", ["abc", "", "-1", "1_0", "٣", "²", "9" * 20, f"{2**63 - 1:020d}", "5" * 23, "5" * 5000])
def test_a_key_that_is_none_is_asked_for_nowhere(key: str) -> None:
    """The SDK has no words for what is no number of 64 bits."""
    link: Any = Peeked()
    dead = ServiceBusDeadLetters("mail", link=lambda: link, settle=lambda finals: [], clock=FakeClock(), patience=LEASE)
    assert dead.get(key) is None
    with pytest.raises(ConfigurationError, match="isn't the key of a dead letter") as raised:
        dead.peek(limit=1, after=key)
    assert (raised.value.hint, len(str(raised.value)) < 200) == ("list them to see their keys", True)
    assert not link.peeked


def test_a_list_goes_on_behind_a_key() -> None:
    """Also behind one that is gone, and behind the last that there can be."""
    link: Any = Peeked()
    dead = ServiceBusDeadLetters("mail", link=lambda: link, settle=lambda finals: [], clock=FakeClock(), patience=LEASE)
    for key in (None, f"{17:020d}", f"{2**63 - 2:020d}"):
        dead.peek(limit=1, after=key)
    assert link.peeked == [1, 18, 2**63 - 1]
