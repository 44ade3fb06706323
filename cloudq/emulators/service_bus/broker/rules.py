"""The rules of a subscription: which messages of its topic it gets, and changed in which way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from cloudq.emulators.service_bus.broker.api import BrokerError, Condition, Message
from cloudq.emulators.service_bus.broker.sql import Node, Subject, compile_filter
from cloudq.emulators.service_bus.broker.sql_actions import Change, compile_action
from cloudq.emulators.service_bus.broker.sql_tokens import SqlError

DEFAULT_RULE: Final = "$Default"
RULE_NAME: Final = "RuleName"
"""The property of a copy that a rule with an action makes: the rule's name."""


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


class SqlAction(msgspec.Struct, frozen=True):
    """What a rule changes of its copy of a message.

    Attributes:
        expression: The statements: `SET priority = 'high'; REMOVE color`.
        parameters: Values of the `@names` in it.
    """

    expression: str
    parameters: Mapping[str, object] = {}


class NewRule(msgspec.Struct, frozen=True):
    """A rule that is to be made."""

    name: str
    filter: Filter
    action: SqlAction | None = None


_SYSTEM_FIELDS: Final = tuple(name for name in CorrelationFilter.__struct_fields__ if name != "properties")


class Rule:
    """A named filter, ready to be asked, with its action.

    Raises:
        BrokerError: `INVALID_FIELD`: the filter or the action can't be read, or the filter asks for nothing.
    """

    __slots__ = ("_change", "_sql", "action", "created_at", "filter", "name")

    def __init__(self, new: NewRule, created_at: datetime) -> None:
        name, filter_ = new.name, new.filter
        self.created_at = created_at
        self.name = name
        self.filter = filter_
        self.action = new.action
        self._change: Callable[[Message], Change] | None = None
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
        if new.action is not None:
            try:
                self._change = compile_action(new.action.expression, new.action.parameters)
            except SqlError as error:
                raise BrokerError(
                    Condition.INVALID_FIELD, f"the action of the rule {name} ({new.action.expression}): {error}"
                ) from error

    def change(self, message: Message) -> Change | None:
        """What the action makes of the message; `None`: there is no action.

        Raises:
            SqlError: It can't be computed for this message.
        """
        if self._change is None:
            return None
        change = self._change(message)
        named = {RULE_NAME: self.name}
        return Change({**change.properties, **named}, {**change.added, **named}, change.removed)

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


def copies(rules: Mapping[str, Rule], message: Message) -> list[Change | None]:
    """What a subscription gets of a message (Microsoft, "Topic filters and actions").

    One as it is if any rule without an action matches, and one of each matching rule with an action.

    Raises:
        SqlError: A rule can't be computed.
    """
    subject = Subject(message)
    changes: list[Change | None] = []
    for rule in rules.values():
        if rule.action is None and None in changes:
            continue
        if rule.matches(subject):
            changes.append(rule.change(message))
    return changes


def _correlates(wanted: CorrelationFilter, subject: Subject) -> bool:
    for name in _SYSTEM_FIELDS:
        value = getattr(wanted, name)
        if value is not None and value != getattr(subject.message, name):
            return False
    return all(_same(value, subject.get(name)) for name, value in wanted.properties.items())


def _same(wanted: object, found: object) -> bool:
    return wanted == found and isinstance(wanted, bool) is isinstance(found, bool)
