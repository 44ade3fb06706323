"""Where LocalStack differs from Amazon SQS as it is documented: prints what was seen, as one line of JSON.

localstack_differs.py ENDPOINT
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3

endpoint = sys.argv[1]
sqs: Any = boto3.client("sqs", "us-east-1", endpoint_url=endpoint)
scheduler: Any = boto3.client("scheduler", "us-east-1", endpoint_url=endpoint)
url = sqs.create_queue(QueueName="differs")["QueueUrl"]


def receive(wait: int, visible_after: int) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = sqs.receive_message(
        QueueUrl=url, WaitTimeSeconds=wait, VisibilityTimeout=visible_after
    ).get("Messages", [])
    return messages


seen: dict[str, object] = {}

# A receipt handle whose time is over, of a message that is visible again.
sqs.send_message(QueueUrl=url, MessageBody="late")
(first,) = receive(5, 1)
time.sleep(1.5)
try:
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=60)
    seen["late change"] = "taken"
except sqs.exceptions.ClientError as error:
    seen["late change"] = error.response["Error"]["Code"]
seen["visible after it"] = len(receive(1, 60)) == 1
sqs.purge_queue(QueueUrl=url)

attributes = {f"a{n}": {"DataType": "String", "StringValue": "v"} for n in range(11)}
try:
    sqs.send_message(QueueUrl=url, MessageBody="b", MessageAttributes=attributes)
    seen["eleven attributes"] = "taken"
except sqs.exceptions.ClientError as error:
    seen["eleven attributes"] = error.response["Error"]["Code"]
sqs.purge_queue(QueueUrl=url)

when = datetime.now(UTC) + timedelta(seconds=3)
scheduler.create_schedule(
    Name="differs",
    ScheduleExpression=f"at({when:%Y-%m-%dT%H:%M:%S})",
    FlexibleTimeWindow={"Mode": "OFF"},
    Target={
        "Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage",
        "RoleArn": "arn:aws:iam::000000000000:role/scheduler",
        "Input": json.dumps({"QueueUrl": url, "MessageBody": "due"}),
    },
)
end = time.monotonic() + 75
came = False
while not came and time.monotonic() < end:
    came = bool(receive(5, 60))
seen["a schedule that is due sends"] = came
print(json.dumps(seen))
