"""The table of prices."""

from __future__ import annotations

from datetime import date

import pytest

from cloudq.cli.cost.prices import CLOUD_TASKS, PRICES, SQS, SQS_FIFO, Price, price_of


@pytest.mark.parametrize("price", PRICES, ids=lambda price: price.what)
def test_each_price_has_its_source_and_date(price: Price) -> None:
    """So that who reads it can look whether it still holds."""
    assert price.source.startswith("https://")
    assert date(2026, 1, 1) <= date.fromisoformat(price.read)
    assert 0 < price.usd < 10
    assert price.piece


@pytest.mark.parametrize(
    ("scheme", "queue", "price"),
    [
        ("sqs", "q", SQS),
        ("sqs", "q.fifo", SQS_FIFO),
        ("cloudtasks", "q", CLOUD_TASKS),
        ("servicebus", "q", None),
        ("sqlite", "q", None),
    ],
)
def test_a_queue_has_the_price_of_its_service(scheme: str, queue: str, price: Price | None) -> None:
    """FIFO queues have one of their own."""
    assert price is price_of(scheme, queue)
