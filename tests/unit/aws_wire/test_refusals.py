"""Answers that botocore's own parser reads. That errors are those of the client is in test_wire.py."""

from __future__ import annotations

from cloudq.aws_wire.http_answer import Answer
from cloudq.aws_wire.refusals import parsed, refusal
from cloudq.aws_wire.service import Operation
from tests.unit.aws_wire.clients import both

HEADERS = {"x-amzn-requestid": "7", "x-amzn-query-error": "AWS.SimpleQueueService.NonExistentQueue;Sender"}


def test_the_old_names_of_errors_are_told_and_the_new_ones_give_the_class() -> None:
    """As botocore has it for SQS, which spoke XML before."""
    client, _ = both(None)
    said = b'{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "none"}'
    error = refusal(client, Answer(400, HEADERS, said, again=True), Operation(client, "SendMessage"))
    assert isinstance(error, client.exceptions.QueueDoesNotExist)
    assert {
        "Code": "AWS.SimpleQueueService.NonExistentQueue",
        "Message": "none",
        "QueryErrorCode": "QueueDoesNotExist",
        "Type": "Sender",
    } == error.response["Error"]
    assert "SendMessage" == error.operation_name
    assert "7" == error.response["ResponseMetadata"]["RequestId"]
    client.close()


def test_what_is_null_is_left_out() -> None:
    """Botocore's parser does, whatever the type is."""
    client, _ = both(None)
    operation = Operation(client, "ReceiveMessage")
    said = memoryview(b'{"Messages": [{"MessageId": "a", "Attributes": null}]}')
    read = parsed(Answer(200, HEADERS, said, again=True), operation, operation.model.output_shape)
    assert [{"MessageId": "a"}] == read["Messages"]
    client.close()
