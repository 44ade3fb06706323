"""Pausing in memory: seen by all that share the messages."""

from __future__ import annotations

import pytest

from cloudq.errors import QueuePaused
from tests.unit.drivers.memory.bench import driver_with, item, receive, send


def test_all_clients_of_the_messages_see_a_pause() -> None:
    """Whoever of them made it."""
    driver = driver_with()
    other = driver.share()
    assert send(driver, item()) == [None]
    assert other.pause("q")
    with pytest.raises(QueuePaused, match="queue 'q' is paused"):
        receive(driver)
    assert not driver.is_paused("other")
    assert driver.resume("q")
    assert [one.id for one in receive(other)] == ["1"]
