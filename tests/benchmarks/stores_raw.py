"""The floor of the stores' benchmark on DynamoDB: two calls of boto3 with the conditions that cloudq's store makes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable

import boto3

from tests.benchmarks.stores_place import REGION, TABLE, URL, main

FREE = (
    "(attribute_not_exists(id) OR kept_until <= :now OR "
    "(attribute_not_exists(completed_at) AND (attribute_not_exists(held_until) OR "
    "(held_until <= :now AND claim_owner <> :owner)))) AND (attribute_not_exists(claim_token) OR claim_token < :token)"
)
MINE = (
    "claim_token = :token AND kept_until > :late AND "
    "attribute_not_exists(completed_at) AND attribute_exists(held_until)"
)


def prepared() -> Callable[[int], object]:
    """Opens a client with its defaults."""
    client = boto3.client("dynamodb", region_name=REGION, endpoint_url=URL)
    turn = os.urandom(8).hex()

    def once(number: int) -> None:
        name = f"billing.charge order-{turn}-{number}"
        key = {"S": hashlib.sha256(name.encode()).hexdigest()}
        now = time.time_ns() // 1000
        token, late = {"N": str(now)}, {"N": str(now - 10_000_000)}
        client.put_item(
            TableName=TABLE,
            Item={
                "id": key,
                "work": {"S": name},
                "claim_owner": {"S": f"host:4711:{number}"},
                "claim_token": token,
                "held_until": {"N": str(now + 120_000_000)},
                "kept_until": {"N": str(now + 28 * 86_400_000_000)},
                "expires_at": {"N": str(now // 1_000_000 + 28 * 86_400)},
                "print": {"B": b"f" * 32},
            },
            ConditionExpression=FREE,
            ExpressionAttributeValues={":now": late, ":owner": {"S": f"host:4711:{number}"}, ":token": token},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        kept = now + 28 * 86_400_000_000
        client.update_item(
            TableName=TABLE,
            Key={"id": key},
            UpdateExpression="SET completed_at = :now, kept_until = :kept, expires_at = :expires REMOVE held_until",
            ConditionExpression=MINE,
            ExpressionAttributeValues={
                ":now": {"N": str(now)},
                ":kept": {"N": str(kept)},
                ":expires": {"N": str(kept // 1_000_000 + 1)},
                ":token": token,
                ":late": late,
            },
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )

    return once


if __name__ == "__main__":
    main(prepared)
