"""What Cloud Tasks takes, and so what its queues can do. Needs no SDK.

The figures are from the docstrings of google-cloud-tasks 2.26 and from Google's pages on quotas and retries, 2026-11.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from cloudq.core.capabilities import CALL_TIMEOUT
from cloudq.core.driver import Cancels, Capabilities, Refusal, Words
from cloudq.core.message import is_ordered
from cloudq.errors import UnsupportedError

MAX_BATCH: Final = 100
# Of a batch's bodies. Google states no bound; with what each body needs besides this stays below 4 MiB, which is what a
# gRPC server takes by default.
MAX_BATCH_BYTES: Final = 2 * 1024 * 1024
# Kept free for a dead letter's details, and for a copy's attributes (semantics 6).
ROOM: Final = 16 * 1024
# What a task needs besides its body and its details: name, URL (2,083 characters at most), token, other headers.
ENVELOPE: Final = 4 * 1024
# Google's pages give 100 KB in one place and 1 MB in another for a whole task.
DEFAULT_MAX_BODY: Final = 76 * 1024  # with ROOM and ENVELOPE below 100,000 bytes
MOST_MAX_BODY: Final = 1000 * 1024  # with those below 1,048,569, which is what others found the service to take
LEAST_MAX_BODY: Final = 1024
# Of a body and the failure beside it. It bounds copies, too: what the service has delivered has to be put away.
LARGEST: Final = 1_048_569 - ENVELOPE
# How much of a message's last failure travels with its retry. Servers and proxies bound the headers of a request: many
# refuse one of more than 8 KiB, and a push that is refused for its headers would be pushed forever.
MAX_RETRY_FAILURE: Final = 4 * 1024

MAX_DELAY: Final = timedelta(days=30)
# The service goes by its own clock, and refuses a task that is further ahead than it allows, even by a moment. A
# message that comes early because of this margin hops.
SKEW: Final = timedelta(minutes=1)
# How long a name stays taken after its task was run or deleted; older pages say one hour.
DEDUP_WINDOW: Final = timedelta(hours=24)
# A task is deleted this long after it was made, or was due.
RETENTION: Final = timedelta(days=31)

# The service deletes what is being pushed as well, and doesn't say that it was. So nothing is deleted that may be due
# before the call is over.
CANCEL_NOTICE: Final = timedelta(seconds=15)
LONGEST_CANCEL: Final = timedelta(seconds=10)

MIN_DEADLINE: Final = timedelta(seconds=15)
DEFAULT_DEADLINE: Final = timedelta(minutes=10)
MAX_DEADLINE: Final = timedelta(minutes=30)
# After a run that took all its time its retry's copy has to be stored, and the answer given.
SETTLE_MARGIN: Final = timedelta(seconds=30)

MAX_QUEUE_NAME: Final = 100

# Of the longest time between two pushes of a message that failed: with a shorter one, a target that is down for minutes
# uses up the deliveries after which a message is given up.
SHORTEST_BACKOFF: Final = timedelta(minutes=1)
# What queues are given that cloudq makes.
LONGEST_BACKOFF: Final = timedelta(minutes=5)


def capabilities(
    queue: str, *, max_body: int = DEFAULT_MAX_BODY, call_timeout: timedelta = CALL_TIMEOUT
) -> Capabilities:
    """What a queue can do.

    Raises:
        UnsupportedError: Its name ends in `.fifo`: Cloud Tasks keeps no order.
    """
    if is_ordered(queue):
        raise UnsupportedError(
            f"queue {queue!r} would keep the order of an ordering_key, which Google Cloud Tasks can't",
            hint="choose a name without .fifo, or a backend with ordered queues: Amazon SQS, Azure Service Bus, SQLite",
        )
    return Capabilities(
        max_batch=MAX_BATCH,
        max_batch_bytes=max(MAX_BATCH_BYTES, max_body),
        max_body=max_body,
        max_delay=MAX_DELAY,
        max_lease=MAX_DEADLINE,
        extendable=False,
        native_retry_delay=None,
        deduplication=DEDUP_WINDOW,
        retention=RETENTION,
        attempt_exact=True,
        dead_letter_leases=False,
        cancels=Cancels.DELAYED,
        cancel_notice=CANCEL_NOTICE,
        call_timeout=call_timeout,
        refusals={
            Refusal.ORDERING_KEY: Words(
                "keeps no order, so ordering_key is refused: Google Cloud Tasks has no ordered queues",
                hint="leave it out, or use a backend with ordered queues: Amazon SQS, Azure Service Bus, SQLite",
            )
        },
    )


def deadline_for(time_limit: timedelta | None) -> timedelta:
    """How long the service is to wait for the answer to a push whose run may take `time_limit`."""
    if time_limit is None:
        return DEFAULT_DEADLINE
    return min(MAX_DEADLINE, max(MIN_DEADLINE, time_limit + SETTLE_MARGIN))
