"""`Outages`: what keeps a worker from its work at this moment, as an operator should see it.

| kind | what fails | what the worker does meanwhile |
|---|---|---|
| `receive` | polls of a queue | polls again, after growing pauses |
| `settle` | settlements of a queue | tries again until the leases end, and receives nothing from that queue |
| `store` | the store of idempotency keys | asks for the store, and leaves in their queue the messages that need it |
| `leases` | extensions of leases | tries again until they are over |
| `unknown_tasks` | nothing: a queue holds messages of another program | polls that queue once a minute |

Each is in the log when it begins and when it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from cloudq.telemetry.standing import OutageKind
from cloudq.worker.leases import LeaseKeeper
from cloudq.worker.poller import Poller
from cloudq.worker.snoozes import Snoozes
from cloudq.worker.stops import Stops


class Outage(NamedTuple):
    """One of them, for as long as it lasts.

    Attributes:
        kind: What fails.
        queue: Of which queue; `None` where it isn't one queue's.
        said: The same for a person. Anybody who can connect to the health pages reads it, so of an error it names the
            class only: its text, which may hold hosts and paths, is in the log.
    """

    kind: OutageKind
    queue: str | None
    said: str


class Pollers(Protocol):
    """Where the pollers are found."""

    @property
    def pollers(self) -> Sequence[Poller]:
        """One a queue."""
        ...


class Outages:
    """Tells what fails now. Does no I/O.

    Args:
        pollers: The watchdog.
        stops: Why queues aren't received from.
        snoozes: Knows whether the store is down, be there such a queue or not.
        keeper: Knows whether leases can be extended.
    """

    def __init__(self, pollers: Pollers, stops: Stops, snoozes: Snoozes, keeper: LeaseKeeper) -> None:
        self._pollers = pollers
        self._stops = stops
        self._snoozes = snoozes
        self._keeper = keeper

    def now(self) -> list[Outage]:
        """What fails at this moment."""
        found = [
            Outage(OutageKind.RECEIVE, poller.queue, said_down(poller.queue, poller.down))
            for poller in self._pollers.pollers
            if poller.down is not None
        ]
        found += [
            Outage(
                OutageKind.SETTLE,
                queue,
                f"queue {queue}: its settlements fail, and nothing is received from it meanwhile; see the log",
            )
            for queue in self._stops.unsettled()
        ]
        stopped = self._stops.storeless()
        found += [
            Outage(
                OutageKind.STORE,
                queue,
                f"queue {queue}: the store of idempotency keys is down, and nothing is received meanwhile; see the log",
            )
            for queue in stopped
        ]
        if self._snoozes.store_is_down and not stopped:
            found.append(Outage(OutageKind.STORE, None, "the store of idempotency keys is down, see the log"))
        if self._keeper.failing:
            found.append(Outage(OutageKind.LEASES, None, "leases can't be extended, see the log"))
        found += [
            Outage(OutageKind.UNKNOWN_TASKS, poller.queue, problem)
            for poller in self._pollers.pollers
            if (problem := poller.strangers.problem) is not None
        ]
        return found


def said_down(queue: str, error: BaseException) -> str:
    """That a queue can't be received from, for anybody who can connect."""
    return f"queue {queue}: {type(error).__name__}, see the log"
