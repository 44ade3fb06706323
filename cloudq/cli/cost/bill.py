"""`Way`: which operations a task takes that the service bills: as workers have counted, or as was measured once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from cloudq.cli.counted import QueueCounts, WorkerCounts
from cloudq.errors import ConfigurationError

PUSHES: Final = "push"
"""What Cloud Tasks bills without being called."""

MILLION: Final = 1_000_000

# Not billed by the queue's service, but by another one.
_OTHERS: Final = frozenset({"CreateSchedule", "DeleteSchedule"})
_CREATES: Final = frozenset({"CreateTask", "BatchCreateTasks"})


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way to send and run tasks, in what it takes.

    Attributes:
        name: Which.
        source: Where the numbers are from.
        operations: How many operations a task takes, by the service's own names.
        tasks: Of how many tasks they were counted; `None`: see the source.
    """

    name: str
    source: str
    operations: Mapping[str, float]
    tasks: int | None = None

    @property
    def per_task(self) -> float:
        """How many operations a task takes in all."""
        return sum(self.operations.values())

    def usd(self, tasks: int, per_million: float) -> float:
        """What that many tasks cost at a price for a million operations."""
        return tasks * self.per_task * per_million / MILLION


SYSTEMS: Final[Mapping[str, str]] = {
    "sqs": "aws_sqs",
    "cloudtasks": "gcp_cloud_tasks",
    "servicebus": "servicebus",
}
"""What the drivers call their services (`ReportsCalls.system`), by the schemes of their URLs."""

_MEASURED: Final = "docs/reference/benchmarks.md, Amazon SQS: no-op tasks with 200 bytes of arguments"
_WORKER: Final[Mapping[str, float]] = {"ReceiveMessage and DeleteMessageBatch": 0.201}

ESTIMATES: Final[Mapping[str, Sequence[Way]]] = {
    "sqs": (
        Way(
            name="sent by send_many, and a busy worker",
            source=_MEASURED,
            operations={"SendMessageBatch": 0.100, **_WORKER},
        ),
        Way(
            name="sent one after the other, and a busy worker",
            source=_MEASURED,
            operations={"SendMessageBatch": 1.000, **_WORKER},
        ),
    ),
    "cloudtasks": (
        Way(
            name="each task is created, and pushed once",
            source="Cloud Tasks pricing: a call for each task that it is about, and each attempt to push it",
            operations={"CreateTask": 1.0, PUSHES: 1.0},
        ),
    ),
}


def estimates(scheme: str) -> Sequence[Way]:
    """What was measured of a backend, where nobody has counted.

    Args:
        scheme: That of its URL.

    Raises:
        ConfigurationError: Nobody bills its operations, or nothing was measured.
    """
    refuse_unbilled(scheme)
    if scheme not in ESTIMATES:
        raise ConfigurationError(
            f"how many operations a task takes on {scheme}:// was never measured against what is billed",
            hint="--worker HOST:PORT, of a worker's --metrics-port, counts its calls",
        )
    return ESTIMATES[scheme]


def refuse_unbilled(scheme: str) -> None:
    """Refuses a backend whose operations nobody bills.

    Raises:
        ConfigurationError: It is one.
    """
    if scheme == "sqlite":
        raise ConfigurationError(
            "sqlite:// is this machine's own, and nobody bills what is done there",
            hint="--backend sqs://REGION, say, for what it would cost there",
        )


def counted(scheme: str, queue: str, workers: Sequence[WorkerCounts]) -> Way:
    """What workers have counted of a queue since they were started.

    Args:
        scheme: That of the backend's URL.
        queue: The queue.
        workers: All of them.

    Raises:
        ConfigurationError: One of them says nothing, or is on another service, or none of them has ended a task of the
            queue.
    """
    refuse_unbilled(scheme)
    for worker in workers:
        if worker.unreachable is not None:
            raise ConfigurationError(
                f"the worker at {worker.address} has no counts: {worker.unreachable}",
                hint="--worker HOST:PORT, of its --metrics-port",
            )
        if worker.system != SYSTEMS.get(scheme):
            raise ConfigurationError(
                f"the worker at {worker.address} isn't on {scheme}://, but on {worker.system or 'no service'}",
                hint="--backend, of its own backend",
            )
    together = QueueCounts()
    for worker in workers:
        _add(together, worker.queues.get(queue, QueueCounts()))
    if not together.left:
        raise ConfigurationError(
            f"no task of queue {queue!r} has ended at these workers, so there is nothing to divide by",
            hint="wait until some have; or leave out --worker for an estimate",
        )
    billed = _billed(scheme, together)
    return Way(
        name="as counted",
        source=f"metrics of {', '.join(worker.address for worker in workers)}, since they were started",
        operations={operation: count / together.left for operation, count in sorted(billed.items())},
        tasks=together.left,
    )


def _billed(scheme: str, counts: QueueCounts) -> dict[str, int]:
    calls = {operation: count for operation, count in counts.calls.items() if operation not in _OTHERS}
    if scheme != "cloudtasks":
        return calls
    # A call that creates several tasks is billed for each of them. Copies of what is retried aren't among those sent.
    creates = sum(count for operation, count in calls.items() if operation in _CREATES)
    others = {operation: count for operation, count in calls.items() if operation not in _CREATES}
    return {**others, "CreateTask": max(creates, counts.sent), PUSHES: counts.ended}


def _add(together: QueueCounts, more: QueueCounts) -> None:
    together.sent += more.sent
    together.left += more.left
    together.ended += more.ended
    for operation, count in more.calls.items():
        together.calls[operation] = together.calls.get(operation, 0) + count
