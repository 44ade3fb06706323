"""Intakes for the tests of their parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from cloudq.running.held import HeldLease
from cloudq.running.runs import Runs
from cloudq.testing.clock import FakeClock
from cloudq.worker.intake import Intake
from cloudq.worker.open_polls import Poll
from tests.unit.worker.fakes import delivery

LEASE = timedelta(seconds=120)


def make_intake(
    clock: FakeClock, queues: Mapping[str, int] | None = None, *, slots: int = 10, **options: object
) -> Intake:
    """An intake of these queues, each of weight 1 if none is given."""
    queues = queues or {"q": 1}
    options.setdefault("runs", Runs(clock))
    options.setdefault("leases", dict.fromkeys(queues, LEASE))
    return Intake(queues, slots=slots, clock=clock, **options)  # type: ignore[arg-type]  # any


def wanted(intake: Intake, queue: str = "q") -> int:
    """How many a poll of `queue` would ask for now; `next_poll` would block if that is nothing."""
    with intake._books.lock:
        return intake._polls.wanted(intake._books.queues[queue], intake._clock.elapsed())


def arrive(intake: Intake, queue: str, held: Sequence[HeldLease]) -> list[HeldLease]:
    """A poll, of which nothing else is known, brings these. Returns those to be given back."""
    return intake.offer(Poll(queue, len(held), began=timedelta(0), epoch=-1), held)


def begin(intake: Intake, queue: str = "q") -> Poll:
    """The queue's own next poll begins."""
    poll = intake.next_poll(queue)
    assert poll is not None
    return poll


def held(clock: FakeClock, count: int, queue: str = "q", deliveries: int = 1) -> list[HeldLease]:
    """So many deliveries in hand."""
    return [
        HeldLease(delivery(clock, queue=queue, deliveries=deliveries), clock.elapsed(), extendable=True)
        for _ in range(count)
    ]


def run_through(intake: Intake, clock: FakeClock, count: int, queue: str = "q") -> None:
    """Starts, ends and settles so many."""
    arrive(intake, queue, held(clock, count, queue))
    for _ in range(count):
        work_off(intake)


def work_off(intake: Intake) -> None:
    """Starts, ends and settles what is next."""
    one = intake.take()
    assert one is not None
    intake.end(one, succeeded=True)
    intake.note_settled(one.delivery.queue)
