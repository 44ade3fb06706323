"""The rules of a subscription: which messages of its topic it gets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from cloudq.emulators.service_bus.broker.api import BrokerError, Condition, Message
from cloudq.emulators.service_bus.broker.sql import Node, Subject, compile_filter
from cloudq.emulators.service_bus.broker.sql_tokens import SqlError

DEFAULT_RULE: Final = "$Default"


class TrueFilter(msgspec.Struct, frozen=True):
    """Every message."""


class FalseFilter(msgspec.Struct, frozen=True):
    """No message."""


class SqlFilter(msgspec.Struct, frozen=True):
    """Messages for which an expression is true.

    Attributes:
        expression: The expression: `color = 'red' AND sys.Label LIKE 'order%'`.
        parameters: Values of the `@names` in it.
    """

    expression: str
    parameters: Mapping[str, object] = {}


class CorrelationFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that have exactly these values; what is `None` isn't looked at.

    Attributes:
        properties: Application properties; names without regard to case.
    """

    correlation_id: str | None = None
    message_id: str | None = None
    to: str | None = None
    reply_to: str | None = None
    subject: str | None = None
    session_id: str | None = None
    reply_to_session_id: str | None = None
    content_type: str | None = None
    properties: Mapping[str, object] = {}


Filter: TypeAlias = TrueFilter | FalseFilter | SqlFilter | CorrelationFilter

_SYSTEM_FIELDS: Final = tuple(name for name in CorrelationFilter.__struct_fields__ if name != "properties")


class Rule:
    """A named filter, ready to be asked.

    Raises:
        BrokerError: `INVALID_FIELD`: the filter can't be read, or asks for nothing.
    """

    __slots__ = ("_sql", "created_at", "filter", "name")

    def __init__(self, name: str, filter_: Filter, created_at: datetime) -> None:
        self.created_at = created_at
        self.name = name
        self.filter = filter_
        self._sql: Node | None = None
        if isinstance(filter_, SqlFilter):
            try:
                self._sql = compile_filter(filter_.expression, filter_.parameters)
            except SqlError as error:
                raise BrokerError(
                    Condition.INVALID_FIELD, f"the SQL filter of the rule {name} ({filter_.expression}): {error}"
                ) from error
        elif isinstance(filter_, CorrelationFilter) and filter_ == CorrelationFilter():
            raise BrokerError(Condition.INVALID_FIELD, f"the correlation filter of the rule {name} has no condition")

    def matches(self, subject: Subject) -> bool:
        """Whether the filter is true for the message.

        Raises:
            SqlError: It can't be computed for this message.
        """
        match self.filter:
            case TrueFilter():
                return True
            case FalseFilter():
                return False
            case CorrelationFilter():
                return _correlates(self.filter, subject)
            case SqlFilter():
                return self._sql is not None and self._sql(subject) is True


def matching(rules: Mapping[str, Rule], message: Message) -> bool:
    """Whether any of the rules matches. Raises `SqlError` if one can't be computed."""
    subject = Subject(message)
    return any(rule.matches(subject) for rule in rules.values())


def _correlates(wanted: CorrelationFilter, subject: Subject) -> bool:
    for name in _SYSTEM_FIELDS:
        value = getattr(wanted, name)
        if value is not None and value != getattr(subject.message, name):
            return False
    return all(_same(value, subject.get(name)) for name, value in wanted.properties.items())


def _same(wanted: object, found: object) -> bool:
    return wanted == found and isinstance(wanted, bool) is isinstance(found, bool)
