"""A client of DynamoDB that answers each call alike, and notes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError


class Client:
    """Answers nothing in particular.

    Args:
        error: What it raises instead.
        date: Of each answer.
        then: Called at each call.
    """

    def __init__(
        self, error: Exception | None = None, *, date: str | None = None, then: Callable[[], None] | None = None
    ) -> None:
        self.error = error
        self.told: dict[str, Any] = {"ResponseMetadata": {"HTTPHeaders": {"date": date}}} if date else {}
        self.then = then
        self.calls: list[tuple[str, dict[str, Any]]] = []
        if isinstance(error, ClientError):
            error.response.update(self.told)  # type: ignore[typeddict-item]

    def __getattr__(self, name: str) -> Any:
        if name == "meta":
            raise AttributeError(name)

        def call(**arguments: Any) -> dict[str, Any]:
            self.calls.append((name, arguments))
            if self.then:
                self.then()
            if self.error:
                raise self.error
            return self.told

        return call


def refused(code: str) -> ClientError:
    """The service's error."""
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "UpdateItem")
