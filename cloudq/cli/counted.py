"""`counted_by`: what a worker has counted, as its metrics say: what left its queues, for how long it ran, which calls.

A worker's counters start at zero with its process, so what happened in a while is the difference of two looks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from cloudq.cli.worker_pages import PageUnreachable, fetched
from cloudq.core.ending import Ending
from cloudq.errors import ConfigurationError

# After these a message is in its queue no more. All others leave it there, or put its next copy there.
LEAVES: Final = frozenset({Ending.SUCCEEDED, Ending.DEAD_LETTERED, Ending.EXPIRED, Ending.DUPLICATE, Ending.CANCELLED})

_SENT: Final = "cloudq_messages_sent_total"
_STARTED: Final = "cloudq_tasks_started_total"
_ENDED: Final = "cloudq_tasks_ended_total"
_CALLS: Final = "cloudq_api_calls_total"
_RUNS: Final = "cloudq_task_duration_seconds_count"
_RUN_SECONDS: Final = "cloudq_task_duration_seconds_sum"
_SLOTS: Final = "cloudq_worker_slots"
_INFO: Final = "cloudq_worker_info"
_OURS: Final = b"cloudq_"
# Of bytes: names of queues and tasks are bounded, and what reads a line takes longer the longer it is, by its square.
_LONGEST_LINE: Final = 4 * 1024


class QueueCounts(msgspec.Struct, kw_only=True):
    """What a worker has counted of one queue since it started.

    Attributes:
        sent: Messages that it stored there itself.
        ended: Deliveries that have ended, however.
        left: Those after which a message was in the queue no more.
        runs: Runs of tasks that have ended, whatever became of them.
        run_seconds: How long they took together.
        calls: Requests to the backend's service, by its own name of the operation.
    """

    sent: int = 0
    ended: int = 0
    left: int = 0
    runs: int = 0
    run_seconds: float = 0.0
    calls: dict[str, int] = {}

    def __post_init__(self) -> None:
        """Gives each its own counts of calls."""
        self.calls = dict(self.calls)


class WorkerCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker has counted.

    Attributes:
        address: Where it was asked.
        system: Its backend's service: `aws_sqs`; empty where it doesn't say.
        slots: The most tasks that it runs at once; `None` where it doesn't say.
        queues: By queue. Calls that aren't of one queue are under the empty name.
        serves: The queues whose tasks it runs.
        unreachable: Why it said nothing; `None`: it did.
    """

    address: str
    system: str = ""
    slots: int | None = None
    queues: Mapping[str, QueueCounts] = {}
    serves: frozenset[str] = frozenset()
    unreachable: str | None = None


def counted_by(address: str) -> WorkerCounts:
    """What the worker has counted that serves its metrics there. Whatever goes wrong is in the answer.

    Raises:
        ConfigurationError: What reads metrics isn't installed.
    """
    try:
        return read(address, fetched(address, "/metrics"))
    except PageUnreachable as error:
        return WorkerCounts(address=address, unreachable=str(error))


def read(address: str, page: bytes) -> WorkerCounts:
    """What a page of metrics says.

    Args:
        address: Where it is from.
        page: In Prometheus' text format. It may be anybody's.

    Raises:
        ConfigurationError: What reads metrics isn't installed.
    """
    families = _parser()
    system, slots, serves = "", None, set()
    queues: dict[str, QueueCounts] = defaultdict(QueueCounts)
    lines = [line for line in page.splitlines() if line.startswith(_OURS) and len(line) <= _LONGEST_LINE]
    try:
        for family in families(b"\n".join([*lines, b""]).decode()):
            for sample in family.samples:
                name, labels, value = sample.name, sample.labels, sample.value
                if name == _SLOTS:
                    slots = int(value)
                elif name == _INFO:
                    system = str(labels.get("system", ""))
                elif "queue" in labels:
                    if name == _STARTED:
                        serves.add(str(labels["queue"]))
                    _count(queues[str(labels["queue"])], name, labels, value)
    except Exception:  # noqa: BLE001 - whatever a parser does with what is no page of metrics
        return WorkerCounts(address=address, unreachable="what answers there has no metrics of a worker")
    if not lines:
        return WorkerCounts(address=address, unreachable="what answers there has no metrics of a worker")
    return WorkerCounts(address=address, system=system, slots=slots, queues=dict(queues), serves=frozenset(serves))


def _count(counts: QueueCounts, name: str, labels: Mapping[str, str], value: float) -> None:
    if name == _SENT and labels.get("result") == "stored":
        counts.sent += int(value)
    elif name == _ENDED:
        counts.ended += int(value)
        counts.left += int(value) if labels.get("outcome") in LEAVES else 0
    elif name == _RUNS:
        counts.runs += int(value)
    elif name == _RUN_SECONDS:
        counts.run_seconds += value
    elif name == _CALLS:
        operation = str(labels.get("operation", ""))
        counts.calls[operation] = counts.calls.get(operation, 0) + int(value)


def _parser() -> Any:
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        raise ConfigurationError(
            "what reads a worker's metrics isn't installed", hint="pip install 'cloudq[prometheus]'"
        ) from None
    return text_string_to_metric_families
