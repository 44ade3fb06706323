"""Dead letters in memory: native ones, and those of an ordinary queue."""

from __future__ import annotations

import pytest

from cloudq.core.driver import (
    Ack,
    Final,
    NativeDeadLetter,
)
from cloudq.core.failure import Failure
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import ConfigurationError, LeaseLost, UnsupportedError
from cloudq.testing.clock import FakeClock
from cloudq.testing.profiles import sqs_fifo_like
from tests.unit.drivers.memory.bench import MINUTE, ZERO, driver_with, item, leased, send, settle


def test_the_lease_of_a_dead_letter_is_none_of_the_queue_s() -> None:
    """Settled as a message of the queue, a dead letter is a lost lease, and the other way round."""
    driver = MemoryDriver()
    settle(driver, leased(driver), NativeDeadLetter(failure=Failure(reason="broken")))
    alive = leased(driver, id="2")
    (dead,) = driver.dead_letters("q").take(None, limit=1, lease=MINUTE)
    assert isinstance(settle(driver, dead, Ack()), LeaseLost)
    (result,) = driver.dead_letters("q").settle([Final(lease=alive.lease, step=Ack())])
    assert isinstance(result.error, LeaseLost)


def test_without_native_dead_letters_they_are_in_an_ordinary_queue() -> None:
    """NativeDeadLetter is refused; what is sent to `q-dlq` is a dead letter of `q`, with its failure."""
    driver = driver_with()
    failure = Failure(reason="broken")
    delivery = leased(driver)
    assert isinstance(settle(driver, delivery, NativeDeadLetter(failure=failure)), UnsupportedError)
    send(driver, item("dead", queue="q-dlq", failure=failure))
    assert [(dead.id, dead.failure) for dead in driver.dead_letters("q").peek(limit=10)] == [("dead", failure)]
    assert driver.stats("q").dead == 1
    assert [d.id for d in driver.receive("q-dlq", limit=1, wait=ZERO, lease=MINUTE)] == ["dead"]


def test_dead_letters_of_an_ordered_queue_are_taken_without_regard_to_order() -> None:
    """Whoever redrives chooses; a key's first dead letter doesn't block the second."""
    driver = MemoryDriver(clock=FakeClock(), capabilities=sqs_fifo_like)
    for number in "12":
        driver.send([item(number, queue="q-dlq.fifo", ordering_key="a")])
    letters = driver.dead_letters("q.fifo")
    keys = [dead.key for dead in letters.peek(limit=10)]
    assert [delivery.id for delivery in letters.take(keys[1:], limit=10, lease=MINUTE)] == ["2"]
    assert [delivery.id for delivery in letters.take(None, limit=10, lease=MINUTE)] == ["1"]


@pytest.mark.parametrize("key", ["", "x", "-1", "\N{FULLWIDTH DIGIT ONE}", "9" * 30])
def test_a_key_that_none_has_finds_nothing(key: str) -> None:
    """Whatever text is given as a dead letter's key, it is at worst not found."""
    driver = MemoryDriver()
    settle(driver, leased(driver), NativeDeadLetter(failure=Failure(reason="broken")))
    letters = driver.dead_letters("q")
    assert letters.get(key) is None
    assert letters.purge([key]) == 0
    assert list(letters.take([key], limit=1, lease=MINUTE)) == []
    with pytest.raises(ConfigurationError, match="isn't the key of a dead letter"):
        letters.peek(limit=1, after=key)
