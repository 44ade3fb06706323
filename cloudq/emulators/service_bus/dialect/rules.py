"""Rules of subscriptions in `$management` requests."""

from __future__ import annotations

from typing import Final

from cloudq.emulators.service_bus.amqp.types import Described, ULong
from cloudq.emulators.service_bus.broker.address import Address
from cloudq.emulators.service_bus.broker.api import Messaging
from cloudq.emulators.service_bus.broker.rules import (
    CorrelationFilter,
    FalseFilter,
    Filter,
    NewRule,
    Rule,
    SqlAction,
    SqlFilter,
    TrueFilter,
)
from cloudq.emulators.service_bus.dialect.bodies import Body

Fields = dict[object, object]

# Descriptors, as @azure/core-amqp 4 has them.
_DESCRIPTION: Final = ULong(0x0000_0137_0000_0004)
_NO_ACTION: Final = ULong(0x0000_0137_0000_0005)
_SQL_ACTION: Final = ULong(0x0000_0137_0000_0006)
_SQL_FILTER: Final = ULong(0x0000_0013_7000_0006)
_TRUE_FILTER: Final = ULong(0x0000_0013_7000_0007)
_FALSE_FILTER: Final = ULong(0x0000_0013_7000_0008)
_CORRELATION_FILTER: Final = ULong(0x0000_0013_7000_0009)
# In the order in which responses have the values.
_CORRELATION: Final = (
    "correlation_id",
    "message_id",
    "to",
    "reply_to",
    "subject",
    "session_id",
    "reply_to_session_id",
    "content_type",
)
_MOST: Final = 2000


class Rules:
    """The operations on a subscription's rules."""

    __slots__ = ("_address", "_broker")

    def __init__(self, address: Address, broker: Messaging) -> None:
        self._address = address
        self._broker = broker

    def add(self, body: Body) -> Fields:
        """`add-rule`."""
        description = body.body("rule-description")
        action = description.mapping("sql-rule-action")
        expression = Body(action).optional_text("expression") if action else None
        rule = NewRule(body.text("rule-name"), _read_filter(description), SqlAction(expression) if expression else None)
        self._broker.add_rule(self._address, rule)
        return {}

    def remove(self, body: Body) -> Fields:
        """`remove-rule`."""
        self._broker.remove_rule(self._address, body.text("rule-name"))
        return {}

    def enumerate(self, body: Body) -> Fields | None:
        """`enumerate-rules`."""
        skip, top = max(0, body.number("skip", 0)), min(max(0, body.number("top", _MOST)), _MOST)
        rules = self._broker.rules(self._address)[skip : skip + top]
        return {"rules": [{"rule-description": _described(rule)} for rule in rules]} if rules else None


def _read_filter(description: Body) -> Filter:
    sql = description.mapping("sql-filter")
    if sql:
        return SqlFilter(Body(sql).text("expression"))
    correlation = description.mapping("correlation-filter")
    if not correlation:
        return TrueFilter()
    fields = Body(correlation)
    return CorrelationFilter(
        correlation_id=fields.optional_text("correlation-id"),
        message_id=fields.optional_text("message-id"),
        to=fields.optional_text("to"),
        reply_to=fields.optional_text("reply-to"),
        subject=fields.optional_text("label"),
        session_id=fields.optional_text("session-id"),
        reply_to_session_id=fields.optional_text("reply-to-session-id"),
        content_type=fields.optional_text("content-type"),
        properties={str(name): value for name, value in fields.mapping("properties").items()},
    )


def _described(rule: Rule) -> Described:
    action = Described(_NO_ACTION, []) if rule.action is None else Described(_SQL_ACTION, [rule.action.expression])
    return Described(_DESCRIPTION, [_filter(rule.filter), action, rule.name])


def _filter(filter_: Filter) -> Described:
    match filter_:
        case SqlFilter(expression):
            return Described(_SQL_FILTER, [expression])
        case CorrelationFilter():
            values: list[object] = [getattr(filter_, field) for field in _CORRELATION]
            return Described(_CORRELATION_FILTER, [*values, dict(filter_.properties)])
        case FalseFilter():
            return Described(_FALSE_FILTER, [])
        case _:
            return Described(_TRUE_FILTER, [])
