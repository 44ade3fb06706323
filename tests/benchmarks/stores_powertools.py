"""AWS Powertools' idempotency on DynamoDB: a function that does nothing, decorated as its documentation has it."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace

import boto3
from aws_lambda_powertools.utilities.idempotency import (
    DynamoDBPersistenceLayer,
    IdempotencyConfig,
    idempotent_function,
)

from tests.benchmarks.stores_place import REGION, TABLE, URL, main


def prepared() -> Callable[[int], object]:
    """Makes the layer with its defaults."""
    client = boto3.client("dynamodb", region_name=REGION, endpoint_url=URL)
    layer = DynamoDBPersistenceLayer(table_name=TABLE, boto3_client=client)
    config = IdempotencyConfig(expires_after_seconds=28 * 86_400)
    # Without it, it warns at each call that it can't tell when the function ends.
    config.register_lambda_context(SimpleNamespace(get_remaining_time_in_millis=lambda: 120_000))
    turn = os.urandom(8).hex()

    @idempotent_function(data_keyword_argument="order", config=config, persistence_store=layer)
    def charge(order: str) -> None:
        """Does nothing."""

    return lambda number: charge(order=f"order-{turn}-{number}")


if __name__ == "__main__":
    main(prepared)
