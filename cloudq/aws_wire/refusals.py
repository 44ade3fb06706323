"""What botocore makes of an answer that isn't the usual one: of errors, and of bodies in another form than its model's.

By its own parser, so that classes, codes and metadata are its own. That it is slow matters to neither.
"""

from __future__ import annotations

from typing import Any

from cloudq.aws_wire.http_answer import Answer
from cloudq.aws_wire.service import Operation


def parsed(answer: Answer, operation: Operation, shape: Any) -> dict[str, Any]:
    """The parameters of an answer, as botocore reads them.

    Args:
        answer: A whole one, which is a JSON object.
        operation: To what.
        shape: Botocore's model of what is read.
    """
    from botocore.awsrequest import HeadersDict
    from botocore.parsers import create_parser

    parser = create_parser(operation.model.service_model.resolved_protocol)
    read: dict[str, Any] = parser.parse(
        {
            "status_code": answer.status,
            "headers": HeadersDict(answer.headers),
            "body": bytes(answer.body),
            "context": {"operation_name": operation.name},
        },
        shape,
    )
    return read


def refusal(client: Any, answer: Answer, operation: Operation) -> Exception:
    """The error that botocore raises for an answer that says that the call failed."""
    content = parsed(answer, operation, operation.model.output_shape)
    said = content.get("Error", {})
    shape = operation.model.service_model.shape_for_error_code(said.get("Code", ""))
    if shape is not None:
        content.update(parsed(answer, operation, shape))
    content["ResponseMetadata"] |= ONE_TRY
    # As it does for SQS alone, which told errors by other names before it spoke JSON.
    code = said.get("QueryErrorCode") or said.get("Code")
    error: Exception = client.exceptions.from_code(code)(content, operation.name)
    return error


ONE_TRY = {"MaxAttemptsReached": True, "RetryAttempts": 0}
"""What botocore says of each call of a client that tries once."""
