"""`FakeSqs` behind a local port, in the service's own form: for what happens between botocore and the network."""

from __future__ import annotations

import json
import re

from botocore.exceptions import ClientError

from tests.chaos.http_proxy import Request
from tests.chaos.raw_answers import answer
from tests.unit.drivers.sqs.fakes import FakeSqs

KIND = "application/x-amz-json-1.0"
REQUEST_ID = "00000000-0000-0000-0000-000000000000"


def answered(sqs: FakeSqs, request: Request) -> bytes:
    """The whole answer to a call, which is carried out."""
    operation = re.sub(r"(?<!^)(?=[A-Z])", "_", request.action).lower()
    try:
        said = getattr(sqs, operation)(**request.parameters)
    except ClientError as error:
        refused = error.response["Error"]
        content = {"__type": f"com.amazonaws.sqs#{refused['Code']}", "message": refused["Message"]}
        return of(content, status=f"{error.response['ResponseMetadata']['HTTPStatusCode']} Refused")
    return of(said)


def of(content: object, status: str = "200 OK") -> bytes:
    """An answer of the service with this content."""
    return answer(json.dumps(content).encode(), kind=KIND, status=status, x_amzn_RequestId=REQUEST_ID)
