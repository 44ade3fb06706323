"""What a message carries that is to be noted: it survives every copy, and strangers' attributes aren't taken for it."""

from __future__ import annotations

import pytest

from cloudq.core import wire
from cloudq.core.message import Message
from cloudq.core.tracking import DEBOUNCE, TRACKED, UNIQUE, Waiting, is_tracked, waiting_of


def message(**extensions: object) -> Message:
    return Message(id="1", task="t", queue="q", extensions=extensions)


def test_a_plain_message_is_not_noted() -> None:
    """It carries nothing."""
    assert not is_tracked(message())
    assert waiting_of(message()) is None


def test_it_arrives_and_survives_copies() -> None:
    """Those of a retry and of a redrive."""
    sent = message(**{TRACKED: True, DEBOUNCE: "k"})
    arrived = wire.decode(wire.encode(sent), "q")
    for copy in (arrived, arrived.retry_copy(attempt_base=1, not_before=None), arrived.redrive_copy(generation=3)):
        again = wire.decode(wire.encode(copy), "q")
        assert is_tracked(again)
        assert waiting_of(again) == Waiting("k", True)


def test_the_two_kinds_of_waiting() -> None:
    """One takes the other's place, one isn't needed."""
    assert waiting_of(message(**{UNIQUE: "k"})) == Waiting("k", False)
    assert waiting_of(message(**{DEBOUNCE: "k"})) == Waiting("k", True)


@pytest.mark.parametrize("value", ["true", 1, None, {}])
def test_what_a_stranger_writes_is_not_taken_for_it(value: object) -> None:
    """Only JSON's `true`, and only texts as keys."""
    assert not is_tracked(message(**{TRACKED: value}))
    assert waiting_of(message(**{UNIQUE: None, DEBOUNCE: 5})) is None
