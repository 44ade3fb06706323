"""What whoever measures asks of a running stand-in."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from types import MappingProxyType
from typing import Any, Final

CONTROL: Final = frozenset({"GetQueueUrl", "GetQueueAttributes", "CreateQueue", "ListQueues", "TagQueue"})
"""Calls that a client makes once, not for each task."""


class Control:
    """The stand-in at a port of loopback."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def calls(self) -> int:
        """How many calls there were for tasks since this was asked last; an idle worker's polls are among them."""
        return sum(count for action, count in self._ask("/counts").items() if action not in CONTROL)

    def close_gate(self) -> None:
        """Every receive finds an empty queue from now on."""
        self._ask("/gate/close")

    def open_gate(self) -> float:
        """Receives get messages again. Returns since when, on `time.monotonic()`."""
        at: float = self._ask("/gate/open")["at"]
        return at

    def create(self, queue: str) -> None:
        """Makes a queue."""
        self._send("CreateQueue", {"QueueName": queue})

    def left(self, queue: str) -> int:
        """How many messages of a queue aren't deleted: those that wait, and those in flight."""
        numbers = self._send("GetQueueAttributes", {"QueueUrl": queue})["Attributes"]
        return sum(int(numbers[f"ApproximateNumberOfMessages{kind}"]) for kind in ("", "NotVisible", "Delayed"))

    def _ask(self, path: str) -> dict[str, Any]:
        return self._answered("GET", path)

    def _send(self, action: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return self._answered("POST", "/", json.dumps(parameters), {"X-Amz-Target": f"AmazonSQS.{action}"})

    def _answered(
        self, method: str, path: str, body: str | None = None, headers: Mapping[str, str] = MappingProxyType({})
    ) -> dict[str, Any]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, body, dict(headers))
            answered: dict[str, Any] = json.loads(connection.getresponse().read())
        return answered
