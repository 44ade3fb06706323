"""`store_copies`: told once, when all copies of a plan have their answers."""

from __future__ import annotations

from collections.abc import Sequence

from cloudq.core.driver import Outgoing, SendResult, SettleResult
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import BackendError
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.testing import FakeClock
from cloudq.worker.copies import store_copies
from cloudq.worker.way_out import Settlement, WayOut
from tests.unit.worker.fakes import until


class Refusing(MemoryDriver):
    """A memory that refuses bodies of `no`."""

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        return [
            SendResult(error=BackendError("refused")) if item.body == b"no" else super(Refusing, self).send([item])[0]
            for item in outgoing
        ]


def way_out() -> WayOut:
    def carry_out(settlements: Sequence[Settlement]) -> Sequence[SettleResult]:
        raise AssertionError(settlements)

    clock = FakeClock()
    return WayOut(CloudQueue("q", Refusing(clock=clock), clock=clock), carry_out, lambda *_: None, clock)


def told(way: WayOut, *bodies: bytes) -> list[BaseException | None]:
    answers: list[BaseException | None] = []
    store_copies(way, [Outgoing(id=str(n), queue="q", body=body) for n, body in enumerate(bodies)], answers.append)
    until(lambda: bool(answers))
    return answers


def test_stored_is_told_once():
    """Of two copies the last answer tells."""
    assert [None] == told(way_out(), b"one", b"two")


def test_one_refused_copy_is_an_error():
    """The delivery isn't to be deleted then."""
    (error,) = told(way_out(), b"one", b"no")
    assert isinstance(error, BackendError)


def test_without_a_thread_nothing_is_stored(monkeypatch):
    """Where no thread can be started, that is the answer."""
    way = way_out()

    def submit(_: Outgoing) -> object:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(way.copies, "submit", submit)
    (error,) = told(way, b"one")
    assert isinstance(error, RuntimeError)
