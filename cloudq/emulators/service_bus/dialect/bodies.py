"""Reading the maps that management requests consist of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from cloudq.emulators.service_bus.amqp.errors import AmqpError, ErrorCondition
from cloudq.emulators.service_bus.amqp.types import Array

MOST_ITEMS: Final = 10_000
"""Messages, tokens or numbers in one request."""


class Body:
    """A request's body; each getter raises `AmqpError` if the field is missing or of another type."""

    __slots__ = ("_fields",)

    def __init__(self, body: object) -> None:
        if not isinstance(body, dict):
            raise _invalid("the body of a management request is a map")
        self._fields = {str(name): value for name, value in body.items()}

    def text(self, name: str) -> str:
        """A string."""
        value = self.optional_text(name)
        if value is None:
            raise _invalid(f"{name} is missing")
        return value

    def optional_text(self, name: str) -> str | None:
        """A string, or `None` if it is missing or null."""
        value = self._fields.get(name)
        if value is None or isinstance(value, str):
            return None if value is None else str(value)
        raise _invalid(f"{name} is a string, not a {type(value).__name__}")

    def number(self, name: str, default: int | None = None) -> int:
        """A number of any of AMQP's types for integers."""
        value = self._fields.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, int) and not isinstance(value, bool):
            return int(value)
        raise _invalid(f"{name} is a number, not a {type(value).__name__}")

    def binary(self, name: str) -> bytes | None:
        """Bytes, or `None` if they are null."""
        value = self._fields.get(name)
        if value is None or isinstance(value, bytes):
            return value
        raise _invalid(f"{name} is binary, not a {type(value).__name__}")

    def mapping(self, name: str) -> dict[object, object]:
        """A map; empty if it is missing or null."""
        value = self._fields.get(name)
        if value is None or isinstance(value, dict):
            return value or {}
        raise _invalid(f"{name} is a map, not a {type(value).__name__}")

    def body(self, name: str) -> Body:
        """A map, to be read in the same way; empty if it is missing or null."""
        return Body(self.mapping(name))

    def numbers(self, name: str) -> list[int]:
        """Sequence numbers."""
        found = self._items(name)
        items = [item for item in found if isinstance(item, int)]
        if len(items) != len(found):
            raise _invalid(f"{name} has something else than numbers in it")
        return items

    def tokens(self, name: str) -> list[UUID]:
        """Lock tokens."""
        found = self._items(name)
        items = [item for item in found if isinstance(item, UUID)]
        if len(items) != len(found):
            raise _invalid(f"{name} has something else than uuids in it")
        return items

    def maps(self, name: str) -> list[Body]:
        """Maps."""
        return [Body(item) for item in self._items(name)]

    def _items(self, name: str) -> Sequence[object]:
        value = self._fields.get(name)
        items = value.items if isinstance(value, Array) else value
        if not isinstance(items, (list, tuple)):
            raise _invalid(f"{name} is a list or an array, not a {type(value).__name__}")
        if len(items) > MOST_ITEMS:
            raise _invalid(f"{name} has {len(items)} items: {MOST_ITEMS} at most")
        return items


def _invalid(text: str) -> AmqpError:
    return AmqpError(ErrorCondition.INVALID_FIELD, text)
