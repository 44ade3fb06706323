"""What SQS takes, in whole seconds, and what its two kinds of queue can do."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.drivers.sqs import SQSDriver
from cloudq.drivers.sqs.limits import FIFO, STANDARD, capabilities, seconds_down, seconds_up
from tests.unit.drivers.sqs.fakes import FakeSqs


@pytest.mark.parametrize(("span", "down", "up"), [(0.0, 0, 0), (0.1, 0, 1), (1.0, 1, 1), (1.5, 1, 2), (-1.5, 0, 0)])
def test_seconds_are_whole_and_none_is_negative(span: float, down: int, up: int) -> None:
    """SQS knows no parts of a second."""
    assert (down, up) == (seconds_down(timedelta(seconds=span)), seconds_up(timedelta(seconds=span)))


def test_a_queues_name_says_its_kind() -> None:
    """FIFO queues keep order and know what they stored; standard ones share, and delay single messages."""
    assert FIFO is capabilities("q.fifo")
    assert STANDARD is capabilities("q")
    assert FIFO.ordering
    assert FIFO.fenced_settle
    assert not STANDARD.ordering
    assert STANDARD.fairness


def test_a_poll_can_not_be_cut() -> None:
    """What it is about to bring would be hidden for a lease (semantics 14)."""
    assert not any(kind.interruptible for kind in (FIFO, STANDARD))


def test_a_call_takes_a_third_of_the_timeout() -> None:
    """On both kinds of queue."""
    driver = SQSDriver("test", client=FakeSqs(), timeout=timedelta(seconds=6))
    assert {timedelta(seconds=2)} == {driver.capabilities(queue).call_timeout for queue in ("q", "q.fifo")}
