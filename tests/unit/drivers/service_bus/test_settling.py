"""One link that breaks hides nothing of what the others have settled."""

from __future__ import annotations

from typing import Any

from cloudq.core.delivery import Lease
from cloudq.core.driver import Ack, Final
from cloudq.drivers.service_bus.receipts import Receipt
from cloudq.drivers.service_bus.settling import Settling
from cloudq.testing.clock import FakeClock


class Holder:
    """Settles, or raises what no link should."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.settled = 0

    def settle(self, steps):
        if self.error is not None:
            raise self.error
        self.settled += len(steps)
        return [None] * len(steps)

    def renew(self, messages):
        if self.error is not None:
            raise self.error
        return [FakeClock().now()] * len(messages)


def lease(holder: Holder) -> Lease:
    message: Any = "a message"
    return Lease(queue="mail", receipt=Receipt(holder, message), expires_at=FakeClock().now())


def test_a_link_that_raises_fails_its_own_only() -> None:
    """What it holds may be settled again; what another has settled is told as settled."""
    settling, sound, broken = Settling(FakeClock()), Holder(), Holder(AttributeError("a private part has moved"))
    leases = [lease(sound), lease(broken), lease(sound)]
    results = settling.settle([Final(lease=one, step=Ack()) for one in leases])
    assert [result.error is None for result in results] == [True, False, True]
    assert [result.error is None for result in settling.extend(leases[1:2])] == [False]
    broken.error = None
    (result,) = settling.settle([Final(lease=leases[1], step=Ack())])
    assert result.error is None
    assert (sound.settled, broken.settled) == (2, 1)
    settling.close()
