"""What each edge does about each kind of limit: one table, which edges and the page on limits go by."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple


class Edge(Enum):
    """Where deliveries come in."""

    WORKER = "worker that polls"
    PUSH = "push"
    """Cloud Tasks, and others that push over HTTP."""
    LAMBDA = "Lambda"
    FUNCTIONS = "Functions"


class Means(Enum):
    """A kind of limit."""

    TASK_RATE = "rate of a task"
    KEY_RATE = "rate of each key"
    QUEUE_RATE = "rate of a queue"
    WORKER_RATE = "rate of each worker"
    TASK_AT_ONCE = "most at once of a task"
    KEY_AT_ONCE = "most at once of each key"
    WORKER_AT_ONCE = "most at once in each worker"
    BREAKER = "breaker of a task"


class How(Enum):
    """What an edge does about it."""

    TURN = "in hand until its turn; the queue isn't received"
    HAND = "in hand until its turn"
    SNOOZE = "a copy that is due later"
    NATIVE = "by the service"
    """Refused here, with what to set there."""
    NONE = "refused"


class Cell(NamedTuple):
    """One cell of the table.

    Attributes:
        how: What is done.
        hint: What to do instead, where it is refused.
    """

    how: How
    hint: str = ""

    @property
    def refused(self) -> bool:
        """Whether an app that declares it doesn't start at this edge."""
        return self.how in {How.NATIVE, How.NONE}


_TURN, _HAND, _SNOOZE = Cell(How.TURN), Cell(How.HAND), Cell(How.SNOOZE)
_QUEUE_OF_CLOUD_TASKS: Final = Cell(How.NATIVE, "set max_dispatches_per_second of the Cloud Tasks queue")
_MAPPING: Final = Cell(How.NATIVE, "set the maximum concurrency of the event source mapping")
_HOST: Final = Cell(How.NATIVE, "set maxConcurrentCalls in host.json, and the most instances of the Function App")
_ENVIRONMENTS: Final = Cell(How.NONE, "an environment runs one at a time: give the task a limit that all of them share")

TABLE: Final[Mapping[Edge, Mapping[Means, Cell]]] = {
    Edge.WORKER: {
        Means.TASK_RATE: _TURN,
        # A poll can't choose whose messages it brings.
        Means.KEY_RATE: _HAND,
        Means.QUEUE_RATE: _TURN,
        Means.WORKER_RATE: _TURN,
        Means.TASK_AT_ONCE: _TURN,
        Means.KEY_AT_ONCE: _HAND,
        Means.WORKER_AT_ONCE: _TURN,
        Means.BREAKER: _TURN,
    },
    # To refuse a push (429, 503) would slow down its whole queue.
    Edge.PUSH: {
        Means.TASK_RATE: _SNOOZE,
        Means.KEY_RATE: _SNOOZE,
        Means.QUEUE_RATE: _QUEUE_OF_CLOUD_TASKS,
        Means.WORKER_RATE: _SNOOZE,
        Means.TASK_AT_ONCE: _SNOOZE,
        Means.KEY_AT_ONCE: _SNOOZE,
        Means.WORKER_AT_ONCE: _SNOOZE,
        Means.BREAKER: _SNOOZE,
    },
    Edge.LAMBDA: {
        Means.TASK_RATE: _SNOOZE,
        Means.KEY_RATE: _SNOOZE,
        Means.QUEUE_RATE: _MAPPING,
        Means.WORKER_RATE: _ENVIRONMENTS,
        Means.TASK_AT_ONCE: _SNOOZE,
        Means.KEY_AT_ONCE: _SNOOZE,
        Means.WORKER_AT_ONCE: _ENVIRONMENTS,
        Means.BREAKER: _SNOOZE,
    },
    Edge.FUNCTIONS: {
        Means.TASK_RATE: _SNOOZE,
        Means.KEY_RATE: _SNOOZE,
        Means.QUEUE_RATE: _HOST,
        Means.WORKER_RATE: _SNOOZE,
        Means.TASK_AT_ONCE: _SNOOZE,
        Means.KEY_AT_ONCE: _SNOOZE,
        Means.WORKER_AT_ONCE: _SNOOZE,
        Means.BREAKER: _SNOOZE,
    },
}
"""For each edge, how each kind of limit is kept there."""
