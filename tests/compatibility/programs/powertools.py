"""AWS Lambda Powertools around and inside tasks, and around the handler of an event source mapping."""

from __future__ import annotations

import os

os.environ |= {
    "POWERTOOLS_TRACE_DISABLED": "true",
    "POWERTOOLS_METRICS_NAMESPACE": "shop",
    "POWERTOOLS_SERVICE_NAME": "shop",
}
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes import SQSEvent, event_source
from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent_function
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyItemAlreadyExistsError,
    IdempotencyItemNotFoundError,
)
from aws_lambda_powertools.utilities.idempotency.persistence.base import BasePersistenceLayer

import cloudq
from cloudq.aws_lambda import handler

logger, tracer, metrics = Logger(), Tracer(), Metrics()
app = cloudq.App("sqs://us-east-1")
runs: list[str] = []


class InMemory(BasePersistenceLayer):
    """Keeps records in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, Any] = {}

    def _get_record(self, idempotency_key: str) -> Any:
        if idempotency_key not in self.records:
            raise IdempotencyItemNotFoundError
        return self.records[idempotency_key]

    def _put_record(self, data_record: Any) -> None:
        if data_record.idempotency_key in self.records:
            raise IdempotencyItemAlreadyExistsError
        self.records[data_record.idempotency_key] = data_record

    def _update_record(self, data_record: Any) -> None:
        self.records[data_record.idempotency_key] = data_record

    def _delete_record(self, data_record: Any) -> None:
        self.records.pop(data_record.idempotency_key, None)


once = {"data_keyword_argument": "order", "persistence_store": InMemory(), "config": IdempotencyConfig()}


@app.task("inside")
@idempotent_function(**once)
@tracer.capture_method
def inside(*, order: str) -> None:
    """The decorators are the task's own."""
    logger.info("charged", order=order)
    runs.append(f"inside {order}")


@app.task("around")
def around(*, order: str) -> None:
    """The decorator is around the task."""
    runs.append(f"around {order}")


run = handler(app)


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def decorated(event: dict[str, Any], context: Any) -> Any:
    return run(event, context)


@event_source(data_class=SQSEvent)
def given_a_data_class(event: SQSEvent, context: Any) -> Any:
    return run(event.raw_event, context)


class LambdaContext:
    """What Lambda hands over."""

    function_name = "shop"
    memory_limit_in_mb = 128
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:shop"
    aws_request_id = "request"
    function_version = "1"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def event(*orders: str) -> dict[str, Any]:
    records = []
    for number, order in enumerate(orders):
        body = (
            f'{{"specversion":"1.0","id":"{order}-{number}","source":"x","type":"inside","data":{{"order":"{order}"}}}}'
        )
        records.append(
            {
                "messageId": f"m-{order}-{number}",
                "receiptHandle": f"r-{order}-{number}",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1", "ApproximateFirstReceiveTimestamp": "1770000000000"},
                "messageAttributes": {},
                "md5OfBody": "",
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:default",
                "awsRegion": "us-east-1",
            }
        )
    return {"Records": records}


NOTHING_FAILED: dict[str, Any] = {"batchItemFailures": []}
assert decorated(event("a", "b", "a"), LambdaContext()) == NOTHING_FAILED
assert sorted(runs) == ["inside a", "inside b"], runs
assert given_a_data_class(event("c"), LambdaContext()) == NOTHING_FAILED
assert runs[-1] == "inside c"

handed_on: list[str] = []


def record_handler(record: Any) -> None:
    handed_on.append(record.message_id)
    assert run({"Records": [record.raw_event]}, LambdaContext()) == NOTHING_FAILED


processor = BatchProcessor(event_type=EventType.SQS)
answer = process_partial_response(event("d", "e"), record_handler, processor, LambdaContext())
assert answer == NOTHING_FAILED
assert runs[-2:] == ["inside d", "inside e"]
assert handed_on == ["m-d-0", "m-e-1"]

decorator = idempotent_function(**once | {"persistence_store": InMemory()})
for _ in range(2):
    decorator(around)(order="f")
assert runs.count("around f") == 1
