"""The table of prices, each with where it stands and when it was read. In US dollars, before any free allowance.

Amazon's are those of us-east-1; some regions cost more. Microsoft's own page has no number for an operation of Service
Bus without a region, a currency and a script that fills it in, so there is none here: `cloudq cost --price` takes it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from cloudq.core.message import is_ordered


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a million operations of a service cost.

    Attributes:
        what: Of what.
        usd: How much.
        piece: What is billed as one operation.
        source: Where it stands.
        read: The date of the source, as it was read.
    """

    what: str
    usd: float
    piece: str
    source: str
    read: str


_OF_AMAZON: Final = (
    "https://www.factualminds.com/blog/amazon-sqs-pricing-64kb-rule-fifo-vs-standard/, which quotes "
    "https://aws.amazon.com/sqs/pricing/ for us-east-1"
)

SQS: Final = Price(
    what="requests to standard queues of Amazon SQS",
    usd=0.40,
    piece="a request, or each 64 KB of what it carries",
    source=_OF_AMAZON,
    read="2026-06-13",
)
SQS_FIFO: Final = Price(
    what="requests to FIFO queues of Amazon SQS",
    usd=0.50,
    piece="a request, or each 64 KB of what it carries",
    source=_OF_AMAZON,
    read="2026-06-13",
)
CLOUD_TASKS: Final = Price(
    what="operations of Google Cloud Tasks",
    usd=0.40,
    piece="a call for each task that it is about, or a push, or each 32 KB of it",
    source="https://cloud.google.com/tasks/pricing",
    read="2026-11-29",
)
PRICES: Final = (SQS, SQS_FIFO, CLOUD_TASKS)


def price_of(scheme: str, queue: str) -> Price | None:
    """The price of operations on a queue; `None`: the table has none.

    Args:
        scheme: That of its backend's URL.
        queue: Its name.
    """
    if scheme == "sqs":
        return SQS_FIFO if is_ordered(queue) else SQS
    return CLOUD_TASKS if scheme == "cloudtasks" else None
