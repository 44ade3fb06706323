"""`LeanClient`: a botocore client some of whose calls cost little. Each service's names those calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloudq.aws_wire.wire import Wire


class LeanClient:
    """A client of one service: some calls by a `Wire`, all others by the botocore client itself.

    Args:
        client: The botocore client.
        operations: What each of the operations that go by the wire answers, by its name in the service's model.

    Raises:
        Unusual: Its calls can't be made so.
    """

    def __init__(self, client: Any, operations: Mapping[str, type]) -> None:
        self._client = client
        self._wire = Wire(client, operations)
        self._call = self._wire.call

    def __getattr__(self, name: str) -> Any:
        """What the botocore client has."""
        return getattr(self._client, name)

    def close(self) -> None:
        """Closes the idle connections, those of the botocore client too."""
        self._wire.close()
        self._client.close()
