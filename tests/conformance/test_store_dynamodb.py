"""The store conformance kit on DynamoDB, as moto has it, one request at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from cloudq.stores.dynamodb import DynamoStore
from cloudq.stores.dynamodb.time import MARGIN
from cloudq.testing.clock import FakeClock
from cloudq.testing.stores import StoreConformance, StoreHarness
from tests.conformance import store_model
from tests.moto_server import moto_server

pytestmark = pytest.mark.slow
EXAMPLES = 60
TABLE = "claims"


class Serial:
    """A client whose calls are made one after the other: moto's conditional writes race with one another."""

    def __init__(self, client: Any, lock: threading.Lock, clock: FakeClock) -> None:
        self._client = client
        self._lock = lock
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not callable(method) or name == "close":
            return method

        def call(**arguments: Any) -> Any:
            with self._lock:
                try:
                    return _undated(method(**arguments))
                except ClientError as error:
                    _undated(error.response)
                    raise

        return call


def _undated(answer: Any) -> Any:
    """The kit's time is another than the server's."""
    answer["ResponseMetadata"]["HTTPHeaders"].pop("date", None)
    return answer


class DynamoHarness(StoreHarness):
    """One table."""

    sweeps = False
    margin = MARGIN

    def __init__(self, url: str) -> None:
        self.clock = FakeClock()
        self.lock = threading.Lock()
        self.url = url
        self.client = self.made()
        self.client.create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def made(self) -> Any:
        return boto3.client(
            "dynamodb",
            region_name="eu-west-1",
            endpoint_url=self.url,
            aws_access_key_id="x",
            aws_secret_access_key="x",  # noqa: S106
            config=Config(retries={"total_max_attempts": 1}),
        )

    def open(self, namespace: str = "kit") -> DynamoStore:
        return DynamoStore(Serial(self.made(), self.lock, self.clock), TABLE, namespace, clock=self.clock)

    def advance(self, delta: timedelta) -> None:
        self.clock.advance(delta)

    def close(self) -> None:
        self.client.delete_table(TableName=TABLE)
        self.client.close()


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with moto_server() as url:
        yield url


class TestDynamoDB(StoreConformance):
    """DynamoDB's own conditions."""

    @pytest.fixture(autouse=True)
    def server(self, moto: str) -> None:
        self.url = moto

    def harness(self) -> StoreHarness:
        return DynamoHarness(self.url)

    def test_every_sequence_of_calls(self) -> None:
        """As the table says, calls and times in any order."""
        store_model.check(self.harness, examples=EXAMPLES)
