"""One link that breaks hides nothing of the others, and only a confirmed settlement ends a lease."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from azure.servicebus.exceptions import MessageLockLostError, ServiceBusConnectionError

from cloudq.core.delivery import Lease
from cloudq.core.driver import Ack, Final, NativeDeadLetter, Release, SettleResult
from cloudq.core.failure import Failure
from cloudq.drivers.service_bus.receipts import Receipt
from cloudq.drivers.service_bus.settling import Settling
from cloudq.errors import BackendUnavailable, LeaseLost
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
        return [FakeClock().elapsed() + timedelta(minutes=1)] * len(messages)

    def watch(self, message, lost):
        pass


def lease(holder: Holder) -> Lease:
    message: Any = "a message"
    return Lease(queue="mail", receipt=Receipt(holder, message), expires_at=FakeClock().now(), ends=timedelta(0))


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


class Slow(Holder):
    """Settles once it may; until then its settlement is under way."""

    def __init__(self, renewal: object) -> None:
        super().__init__()
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.renewal = renewal
        self.renewals = 0

    def settle(self, steps):
        self.begun.set()
        assert self.may_end.wait(60)
        return [ServiceBusConnectionError(message="no answer")] * len(steps)

    def renew(self, messages):
        self.renewals += 1
        return [self.renewal] * len(messages)


GRANTED = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("step", "renewal", "renewals", "error"),
    [
        (Ack(), GRANTED, 1, None),
        (NativeDeadLetter(failure=Failure(reason="bad")), GRANTED, 1, None),
        (Ack(), MessageLockLostError(message="gone"), 1, BackendUnavailable),
        (Release(), GRANTED, 0, BackendUnavailable),
    ],
    ids=["ack", "dead-letter", "ack that has won", "release"],
)
def test_an_extension_beside_a_settlement(step, renewal, renewals: int, error: type[Exception] | None) -> None:
    """It extends for real, and never says that the lease is lost: only a confirmed settlement ends it.

    Beside a release it isn't made at all: it would land after it and hide the message again.
    """
    holder, settling = Slow(renewal), Settling(FakeClock())
    held = lease(holder)
    answers: list[SettleResult] = []
    thread = threading.Thread(target=lambda: answers.extend(settling.settle([Final(lease=held, step=step)])))
    thread.start()
    assert holder.begun.wait(60)
    (extended,) = settling.extend([held])
    holder.may_end.set()
    thread.join(60)
    assert (type(extended.error) if extended.error else None) is error
    assert (extended.ends, holder.renewals) == (None if error else GRANTED, renewals)
    # The settlement failed, and is tried again.
    assert isinstance(answers[0].error, BackendUnavailable)
    holder.begun.clear()
    (result,) = settling.settle([Final(lease=held, step=step)])
    assert isinstance(result.error, BackendUnavailable)
    settling.close()


def test_a_confirmed_settlement_ends_the_lease() -> None:
    """What comes after it is lost."""
    holder, settling = Holder(), Settling(FakeClock())
    held = lease(holder)
    assert settling.settle([Final(lease=held, step=Ack())])[0].error is None
    assert isinstance(settling.extend([held])[0].error, LeaseLost)
    assert isinstance(settling.settle([Final(lease=held, step=Ack())])[0].error, LeaseLost)
    settling.close()


def test_a_retry_that_can_not_be_held_is_given_back_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine has no thread to give: told as released, which it is, and the next one is held again."""

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    holder, settling = Holder(), Settling(FakeClock())
    later = Release(delay=timedelta(seconds=30))
    with monkeypatch.context() as no_thread:
        no_thread.setattr(threading.Thread, "start", refused)
        (result,) = settling.settle([Final(lease=lease(holder), step=later)])
    assert (result.error, settling.held, holder.settled) == (None, 0, 1)
    (result,) = settling.settle([Final(lease=lease(holder), step=later)])
    assert (result.error, settling.held, holder.settled) == (None, 1, 1)
    settling.close()
    assert holder.settled == 2


@pytest.mark.parametrize("threads", [0, 1, 2])
def test_each_session_is_settled_once_however_few_threads_there_are(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second settlement of the same message would tell one that was confirmed as lost."""
    start, left = threading.Thread.start, threads

    def few(thread: threading.Thread) -> None:
        nonlocal left
        if left == 0:
            raise RuntimeError("can't start new thread")
        left -= 1
        start(thread)

    holders, settling = [Holder() for _ in range(4)], Settling(FakeClock())
    with monkeypatch.context() as scarce:
        scarce.setattr(threading.Thread, "start", few)
        results = settling.settle([Final(lease=lease(holder), step=Ack()) for holder in holders])
    assert [result.error for result in results] == [None] * 4
    assert [holder.settled for holder in holders] == [1] * 4
    settling.close()


def test_closed_it_still_settles_several_sessions() -> None:
    """What ends while the driver is closed is settled, by the thread that asks."""
    holders, settling = [Holder() for _ in range(2)], Settling(FakeClock())
    settling.close()
    results = settling.settle([Final(lease=lease(holder), step=Ack()) for holder in holders])
    assert [result.error for result in results] == [None] * 2
    assert [holder.settled for holder in holders] == [1] * 2
