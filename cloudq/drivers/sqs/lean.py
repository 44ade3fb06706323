"""`LeanClient`: a client of SQS whose calls that repeat cost little."""

from __future__ import annotations

from typing import Any, Final, TypedDict

from cloudq.aws_wire import lean_client


class _Attribute(TypedDict, total=False):
    StringValue: str
    BinaryValue: bytes
    StringListValues: list[str]
    BinaryListValues: list[bytes]
    DataType: str


class _Message(TypedDict, total=False):
    MessageId: str
    ReceiptHandle: str
    MD5OfBody: str
    Body: str
    Attributes: dict[str, str]
    MD5OfMessageAttributes: str
    MessageAttributes: dict[str, _Attribute]


class _Received(TypedDict, total=False):
    Messages: list[_Message]


class _Sent(TypedDict, total=False):
    Id: str
    MessageId: str
    MD5OfMessageBody: str
    MD5OfMessageAttributes: str
    MD5OfMessageSystemAttributes: str
    SequenceNumber: str


class _Stored(TypedDict, total=False):
    MD5OfMessageBody: str
    MD5OfMessageAttributes: str
    MD5OfMessageSystemAttributes: str
    MessageId: str
    SequenceNumber: str


class _Named(TypedDict, total=False):
    Id: str


class _Failed(TypedDict, total=False):
    Id: str
    SenderFault: bool
    Code: str
    Message: str


class _SentBatch(TypedDict, total=False):
    Successful: list[_Sent]
    Failed: list[_Failed]


class _Batch(TypedDict, total=False):
    Successful: list[_Named]
    Failed: list[_Failed]


OPERATIONS: Final[dict[str, type]] = {
    "ChangeMessageVisibilityBatch": _Batch,
    "DeleteMessageBatch": _Batch,
    "ReceiveMessage": _Received,
    "SendMessage": _Stored,
    "SendMessageBatch": _SentBatch,
}
"""What each of its operations answers, as the service's model has it."""


class LeanClient(lean_client.LeanClient):
    """A client of SQS: the calls that repeat by a `Wire`, all others by the botocore client itself.

    Args:
        client: The botocore client.

    Raises:
        Unusual: Its calls can't be made so.
    """

    def __init__(self, client: Any) -> None:
        super().__init__(client, OPERATIONS)

    def change_message_visibility_batch(self, **parameters: Any) -> dict[str, Any]:
        """As the botocore client's."""
        return self._call("ChangeMessageVisibilityBatch", parameters)

    def delete_message_batch(self, **parameters: Any) -> dict[str, Any]:
        """As the botocore client's."""
        return self._call("DeleteMessageBatch", parameters)

    def receive_message(self, **parameters: Any) -> dict[str, Any]:
        """As the botocore client's."""
        return self._call("ReceiveMessage", parameters)

    def send_message(self, **parameters: Any) -> dict[str, Any]:
        """As the botocore client's."""
        return self._call("SendMessage", parameters)

    def send_message_batch(self, **parameters: Any) -> dict[str, Any]:
        """As the botocore client's."""
        return self._call("SendMessageBatch", parameters)
