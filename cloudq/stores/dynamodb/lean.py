"""`LeanClient`: a client of DynamoDB whose calls that a store makes cost little."""

from __future__ import annotations

from typing import Any, Final, TypedDict

from cloudq.aws_wire import lean_client


class _Value(TypedDict, total=False):
    """What an attribute of a store's item holds: others than these three aren't read."""

    S: str
    N: str
    B: bytes


class _Read(TypedDict, total=False):
    Item: dict[str, _Value]


class _Written(TypedDict, total=False):
    Attributes: dict[str, _Value]


OPERATIONS: Final[dict[str, type]] = {
    "DeleteItem": _Written,
    "GetItem": _Read,
    "PutItem": _Written,
    "UpdateItem": _Written,
}
"""What each of its operations answers, as the service's model has it."""


class LeanClient(lean_client.LeanClient):
    """A client of DynamoDB: a store's calls by a `Wire`, all others by the botocore client itself.

    Args:
        client: The botocore client.

    Raises:
        Unusual: Its calls can't be made so.
    """

    def __init__(self, client: Any) -> None:
        super().__init__(client, OPERATIONS)

    def delete_item(self, **parameters: Any) -> dict[str, Any]:
        """As the botocore client's."""
        return self._call("DeleteItem", parameters)

    def get_item(self, **parameters: Any) -> dict[str, Any]:
        """As the botocore client's."""
        return self._call("GetItem", parameters)

    def put_item(self, **parameters: Any) -> dict[str, Any]:
        """As the botocore client's."""
        return self._call("PutItem", parameters)

    def update_item(self, **parameters: Any) -> dict[str, Any]:
        """As the botocore client's."""
        return self._call("UpdateItem", parameters)
