"""SQL actions of rules: statements that change the copy of a message which a rule makes.

statements: `SET name = value` and `REMOVE name`, with `;` or `,` between them; values are those of filters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from cloudq.emulators.service_bus.broker.api import Message
from cloudq.emulators.service_bus.broker.sql import MAX_LENGTH, Node, Parser, Subject
from cloudq.emulators.service_bus.broker.sql_tokens import SqlError
from cloudq.emulators.service_bus.broker.sql_values import Value

# Microsoft, "Service Bus quotas".
MAX_STATEMENTS: Final = 32


class Change(msgspec.Struct, frozen=True):
    """What becomes of a message's application properties.

    Attributes:
        properties: All of them, afterwards.
        added: Those that are new or have another value.
        removed: The names of those that are gone.
    """

    properties: Mapping[str, Value]
    added: Mapping[str, Value]
    removed: frozenset[str]


_Statement = Callable[[Message, dict[str, Value]], None]


def compile_action(text: str, parameters: Mapping[str, Value] | None = None) -> Callable[[Message], Change]:
    """Reads an action.

    Args:
        text: The statements.
        parameters: The values of `@names` in it, with or without the `@`.

    Returns:
        What the action changes of a message. It raises `SqlError` where a value can't be computed.

    Raises:
        SqlError: The text is no action: what is wrong, and where.
    """
    if len(text) > MAX_LENGTH:
        raise SqlError(f"it has {len(text)} characters; an action has at most {MAX_LENGTH}")
    statements = _ActionParser(text, parameters or {}).statements()

    def change(message: Message) -> Change:
        before = message.application_properties
        after = dict(before)
        for statement in statements:
            statement(message, after)
        return Change(
            properties=after,
            added={name: value for name, value in after.items() if name not in before or before[name] is not value},
            removed=frozenset(before) - frozenset(after),
        )

    return change


class _ActionParser(Parser):
    """Reads the statements of an action."""

    def statements(self) -> list[_Statement]:
        """All of them."""
        found = [self._statement()]
        while self._symbol(";", ",") and self._peek() is not None:
            found.append(self._statement())
        if self._peek() is not None:
            raise self._unexpected("the end, ; or ,")
        if len(found) > MAX_STATEMENTS:
            raise SqlError(f"it has {len(found)} statements; an action has at most {MAX_STATEMENTS}")
        return found

    def _statement(self) -> _Statement:
        token = self._peek()
        word = token.text.lower() if token is not None and token.kind == "name" else ""
        if word not in {"set", "remove"}:
            raise self._unexpected("SET or REMOVE")
        self._next += 1
        name = self._target()
        if word == "remove":
            return lambda message, properties: _remove(properties, name)  # noqa: ARG005 - as those of SET
        self._expect("=")
        return _setting(name, self._sum())

    def _target(self) -> str:
        scope, name = self._scoped(self._name())
        if scope == "sys":
            raise SqlError(f"the emulator's actions change what the sender set, not sys.{name}")
        return name


def _setting(name: str, node: Node) -> _Statement:
    def assign(message: Message, properties: dict[str, Value]) -> None:
        # What the statements before have changed is what this one sees.
        value = node(Subject(msgspec.structs.replace(message, application_properties=properties)))
        properties[next((known for known in properties if known.lower() == name.lower()), name)] = value

    return assign


def _remove(properties: dict[str, Value], name: str) -> None:
    for known in [known for known in properties if known.lower() == name.lower()]:
        del properties[known]
