"""`LeanClient`: a client of DynamoDB whose calls that a store makes cost little."""

from __future__ import annotations

from typing import Any, Final, TypedDict

from cloudq.aws_wire.wire import Wire


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


class LeanClient:
    """A client of DynamoDB: a store's calls by a `Wire`, all others by the botocore client itself.

    Args:
        client: The botocore client.

    Raises:
        Unusual: Its calls can't be made so.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._wire = Wire(client, OPERATIONS)
        self._call = self._wire.call

    def __getattr__(self, name: str) -> Any:
        """What the botocore client has."""
        return getattr(self._client, name)

    def close(self) -> None:
        """Closes the idle connections, those of the botocore client too."""
        self._wire.close()
        self._client.close()

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
