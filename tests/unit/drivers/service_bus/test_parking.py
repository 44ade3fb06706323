"""What is held for a retry is given back when it is due, with its lock kept until then."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from typing import Any

from cloudq.drivers.service_bus import sdk
from cloudq.drivers.service_bus.parking import Parking
from cloudq.drivers.service_bus.receipts import Receipt
from cloudq.testing.clock import FakeClock

LOCK = timedelta(seconds=60)


class Holder:
    """Keeps what it is told."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.steps: list[Any] = []
        self.renewed = threading.Event()
        self.settled = threading.Event()

    def settle(self, steps):
        self.steps += steps
        self.settled.set()
        return [None] * len(steps)

    def renew(self, messages) -> list[datetime | BaseException]:
        self.renewed.set()
        return [self._clock.now() + LOCK] * len(messages)


def parked(delay: timedelta) -> tuple[FakeClock, Holder, Parking]:
    clock = FakeClock()
    holder, parking = Holder(clock), Parking(clock)
    message: Any = "a message"
    parking.park(Receipt(holder, message), delay, clock.now() + LOCK, sdk.ABANDON)
    return clock, holder, parking


def test_a_parked_message_is_given_back_when_it_is_due() -> None:
    """Not before its time, and then with its delivery counted."""
    clock, holder, parking = parked(timedelta(seconds=30))
    clock.advance(timedelta(seconds=29))
    assert not holder.settled.wait(0.2)
    clock.advance(timedelta(seconds=2))
    assert holder.settled.wait(5)
    assert holder.steps == [("a message", sdk.ABANDON)]
    parking.close()


def test_a_parked_messages_lock_is_renewed() -> None:
    """A lock that would end before the message is due is kept."""
    clock, holder, parking = parked(timedelta(seconds=90))
    assert not holder.renewed.wait(0.2)
    clock.advance(timedelta(seconds=50))
    assert holder.renewed.wait(5)
    parking.close()


def test_closing_gives_everything_back() -> None:
    """Another worker may have it at once."""
    _, holder, parking = parked(timedelta(hours=1))
    parking.close()
    assert holder.steps == [("a message", sdk.ABANDON)]
