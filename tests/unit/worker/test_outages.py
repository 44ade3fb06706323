"""What fails now, in one list."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cloudq.errors import BackendUnavailable
from cloudq.telemetry.standing import OutageKind
from cloudq.worker.outages import Outage, Outages
from cloudq.worker.poller import Poller


class Worker:
    """As far as outages ask it."""

    def __init__(self) -> None:
        self.pollers: Sequence[Poller] = [poller("emails"), poller("reports")]
        self.untold: list[str] = []
        self.stopped: list[str] = []
        self.store_is_down = False
        self.failing = False

    def unsettled(self) -> list[str]:
        return self.untold

    def storeless(self) -> list[str]:
        return self.stopped

    def outages(self) -> Outages:
        worker: Any = self  # all parts of it in one
        return Outages(worker, worker, worker, worker)


def poller(queue: str, down: BaseException | None = None, problem: str | None = None) -> Poller:
    return cast(Poller, SimpleNamespace(queue=queue, down=down, strangers=SimpleNamespace(problem=problem)))


@pytest.fixture
def worker() -> Worker:
    return Worker()


def kinds(found: Sequence[Outage]) -> list[tuple[str, str | None]]:
    return [(outage.kind, outage.queue) for outage in found]


def test_nothing_fails(worker: Worker) -> None:
    """Then the list is empty."""
    assert [] == worker.outages().now()


def test_a_queue_that_is_down_names_the_class_alone(worker: Worker) -> None:
    """Anybody who can connect reads it: the text, with its hosts, is in the log."""
    worker.pollers = [poller("emails", BackendUnavailable("no route to 10.0.0.7")), poller("reports")]
    assert [Outage(OutageKind.RECEIVE, "emails", "queue emails: BackendUnavailable, see the log")] == (
        worker.outages().now()
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("untold", ["emails"], (OutageKind.SETTLE, "emails")),
        ("stopped", ["reports"], (OutageKind.STORE, "reports")),
        ("store_is_down", True, (OutageKind.STORE, None)),
        ("failing", True, (OutageKind.LEASES, None)),
        ("pollers", [poller("emails", problem="queue emails: strangers")], (OutageKind.UNKNOWN_TASKS, "emails")),
    ],
)
def test_each_kind_is_told(worker: Worker, name: str, value: Any, expected: tuple[str, str | None]) -> None:
    """With its queue, where it is one queue's."""
    setattr(worker, name, value)
    assert [expected] == kinds(worker.outages().now())


def test_a_store_that_stops_queues_is_told_of_those(worker: Worker) -> None:
    """And not once more without a queue."""
    worker.stopped, worker.store_is_down = ["emails"], True
    assert [(OutageKind.STORE, "emails")] == kinds(worker.outages().now())
