"""How a snoozed delivery waits, by where it came in and what it waits for: one table, which every edge goes by.

`plan()` carries out what is a copy or a release. What is more (a worker that holds a delivery, or stops its intake) is
the edge's, which looks it up here. The tests walk through all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum
from typing import Final, NamedTuple

from cloudq.core.capabilities import Capabilities
from cloudq.core.outcome import Why

# Another worker may be able to start what this one can't. But where the backend counts what is handed back, that uses
# up one of the deliveries that a policy allows (semantics 8): so it is done a few times only.
HANDED_OVER_ENOUGH: Final = 5


class Place(Enum):
    """Where a delivery came in, as far as that decides how it can wait."""

    WORKER_DELAYED = "worker; a release can be delayed and isn't counted"
    """Memory, SQLite: ordered queues, too."""
    WORKER_BARE = "worker; a release isn't counted, and can't be delayed"
    """A queue of Service Bus."""
    WORKER_KEPT = "worker; a release isn't counted, and nothing can be copied"
    """A session or a subscription of Service Bus."""
    WORKER_COUNTED = "worker; a release is counted"
    """A standard queue of SQS."""
    WORKER_COUNTED_ORDER = "worker; a release is counted, and a copy would lose its place"
    """A FIFO queue of SQS."""
    PUSH = "push"
    """Cloud Tasks."""
    PUSH_ORDER = "push, ordered"
    LAMBDA = "Lambda"
    """A standard queue of SQS."""
    LAMBDA_ORDER = "Lambda, ordered"
    """A FIFO queue of SQS."""
    FUNCTIONS = "Functions"
    """A queue, or a subscription, of Service Bus."""
    FUNCTIONS_ORDER = "Functions, ordered"
    """A session of Service Bus."""


class Way(Enum):
    """How it waits."""

    COPY = "copy"
    """A copy that is due later takes its place, with its count of attempts."""
    RELEASE = "release"
    """It goes back to its queue, for later where the queue can."""
    HOLD = "hold"
    """It stays in the worker's hand, its lease extended, beside the slots: nothing is counted."""
    REFUSED = "refused at the start"
    """The edge doesn't serve such a queue: it could keep no order."""


class Waits(NamedTuple):
    """One cell of the table.

    Attributes:
        way: How the delivery waits.
        stops: Whether the worker asks its queue for nothing more meanwhile.
        since: Of one that is held: from which handing-over without an end on. Before, it goes back to its queue.
    """

    way: Way
    stops: bool = False
    since: int = 0


_COPY, _RELEASE, _HOLD = Waits(Way.COPY), Waits(Way.RELEASE), Waits(Way.HOLD)
_RELEASE_STOPS, _HOLD_STOPS = Waits(Way.RELEASE, stops=True), Waits(Way.HOLD, stops=True)
_HOLD_IN_THE_END: Final = Waits(Way.HOLD, since=HANDED_OVER_ENOUGH)

# What an edge can't start goes back at once: another one may be free. What has no event loop comes back later.
_EACH: Final = dict.fromkeys(Why, _COPY) | {Why.UNSTARTED: _RELEASE}

TABLE: Final[Mapping[Place, Mapping[Why, Waits]]] = {
    Place.WORKER_DELAYED: dict.fromkeys(Why, _RELEASE) | {Why.STORE_DOWN: _RELEASE_STOPS},
    Place.WORKER_BARE: _EACH | {Why.STORE_DOWN: _RELEASE_STOPS},
    Place.WORKER_KEPT: dict.fromkeys(Why, _RELEASE) | {Why.STORE_DOWN: _RELEASE_STOPS},
    # A copy that is due later is no more than a send and a deletion, which a claim's rare wait is worth.
    Place.WORKER_COUNTED: dict.fromkeys(Why, _COPY) | {Why.STORE_DOWN: _HOLD_STOPS},
    # For somebody who knows the task, is free or has an event loop it has to go back, which is counted. Of what the
    # processor snoozed, its process remembers that.
    Place.WORKER_COUNTED_ORDER: dict.fromkeys(Why, _HOLD)
    | {Why.STORE_DOWN: _HOLD_STOPS, Why.UNKNOWN_TASK: _RELEASE, Why.UNSTARTED: _RELEASE, Why.NOT_DUE: _RELEASE}
    | {Why.NO_LOOP: _HOLD_IN_THE_END},
    Place.PUSH: _EACH,
    Place.LAMBDA: dict.fromkeys(Why, _COPY),
    # Nobody can hold it longer than the function runs, nor stop the service. Of what the processor snoozed, its process
    # remembers what was counted.
    Place.LAMBDA_ORDER: dict.fromkeys(Why, _RELEASE),
    Place.FUNCTIONS: dict.fromkeys(Why, _COPY),
    Place.PUSH_ORDER: dict.fromkeys(Why, Waits(Way.REFUSED)),
    Place.FUNCTIONS_ORDER: dict.fromkeys(Why, Waits(Way.REFUSED)),
}
"""For each place, how each snooze waits there."""


def worker_place(capabilities: Capabilities) -> Place:
    """The place that a worker's queue with these capabilities is."""
    if not capabilities.attempt_exact:
        ordered = capabilities.ordering or not capabilities.copies
        return Place.WORKER_COUNTED_ORDER if ordered else Place.WORKER_COUNTED
    if capabilities.native_retry_delay is None or not capabilities.native_retry_delay:
        return Place.WORKER_BARE
    if not capabilities.copies or (capabilities.ordering and not capabilities.chosen_lease):
        return Place.WORKER_KEPT
    return Place.WORKER_DELAYED


def stopped_delay(delay: timedelta, place: Place) -> timedelta:
    """The delay of a release where the intake stops: none unless it costs nothing, as nobody here asks for it again.

    A worker on Service Bus would have to hold a session for it, and a queue would have to be sent a copy.
    """
    return delay if place is Place.WORKER_DELAYED else timedelta(0)
