"""Rules as the administration writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final
from xml.etree import ElementTree as ET

from cloudq.emulators.service_bus.admin import atom
from cloudq.emulators.service_bus.broker.rules import (
    DEFAULT_RULE,
    CorrelationFilter,
    FalseFilter,
    Filter,
    NewRule,
    Rule,
    SqlAction,
    SqlFilter,
    TrueFilter,
)
from cloudq.emulators.service_bus.durations import format_duration, parse_duration

_CORRELATION: Final = {
    "CorrelationId": "correlation_id",
    "MessageId": "message_id",
    "To": "to",
    "ReplyTo": "reply_to",
    "Label": "subject",
    "SessionId": "session_id",
    "ReplyToSessionId": "reply_to_session_id",
    "ContentType": "content_type",
}


class RuleError(ValueError):
    """A rule that can't be read, or asks for what the emulator doesn't do."""


def read_rule(element: ET.Element) -> NewRule:
    """A rule's name (`$Default` if it has none), its filter and its action, from a description.

    Raises:
        RuleError: The filter or the action can't be read.
    """
    name = atom.texts(element).get("Name") or DEFAULT_RULE
    filter_ = atom.find(element, "Filter")
    action = atom.find(element, "Action")
    return NewRule(
        name,
        TrueFilter() if filter_ is None else _read_filter(filter_),
        None if action is None else _read_action(action),
    )


def write_rule(rule: Rule) -> ET.Element:
    """The description of a rule."""
    element = atom.description("RuleDescription")
    _write_filter(element, rule.filter)
    if rule.action is None:
        atom.add(element, "Action", **{"i:type": "EmptyRuleAction"})
    else:
        action = atom.add(element, "Action", **{"i:type": "SqlRuleAction"})
        atom.add(action, "SqlExpression", rule.action.expression)
        atom.add(action, "CompatibilityLevel", "20")
        _write_values(action, "Parameters", rule.action.parameters)
    atom.add(element, "CreatedAt", atom.moment(rule.created_at))
    atom.add(element, "Name", rule.name)
    return element


def _kind(element: ET.Element) -> str:
    return element.get(atom.TYPE, "").rpartition(":")[2]


def _read_action(element: ET.Element) -> SqlAction | None:
    match _kind(element):
        case "EmptyRuleAction":
            return None
        case "SqlRuleAction":
            text = atom.texts(element).get("SqlExpression", "")
            return SqlAction(text, _read_values(atom.find(element, "Parameters")))
        case kind:
            raise RuleError(f"{kind or 'an action without i:type'} is no action of Service Bus")


def _read_filter(element: ET.Element) -> Filter:
    fields = atom.texts(element)
    match _kind(element):
        case "TrueFilter":
            return TrueFilter()
        case "FalseFilter":
            return FalseFilter()
        case "SqlFilter":
            return SqlFilter(fields.get("SqlExpression", ""), _read_values(atom.find(element, "Parameters")))
        case "CorrelationFilter":
            given = {_CORRELATION[name]: text for name, text in fields.items() if name in _CORRELATION}
            return CorrelationFilter(**given, properties=_read_values(atom.find(element, "Properties")))
        case kind:
            raise RuleError(f"{kind or 'a filter without i:type'} is no filter of Service Bus")


def _write_filter(parent: ET.Element, filter_: Filter) -> None:
    element = atom.add(parent, "Filter", **{"i:type": type(filter_).__name__})
    match filter_:
        case CorrelationFilter():
            for name, field in _CORRELATION.items():
                if (value := getattr(filter_, field)) is not None:
                    atom.add(element, name, value)
            _write_values(element, "Properties", filter_.properties)
        case SqlFilter():
            atom.add(element, "SqlExpression", filter_.expression)
            atom.add(element, "CompatibilityLevel", "20")
            _write_values(element, "Parameters", filter_.parameters)
        case _:
            atom.add(element, "SqlExpression", "1=1" if isinstance(filter_, TrueFilter) else "1=0")
            atom.add(element, "CompatibilityLevel", "20")


_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "string": str,
    "guid": str,
    "int": int,
    "long": int,
    "short": int,
    "byte": int,
    "boolean": lambda text: text.strip().lower() in {"true", "1"},
    "double": float,
    "float": float,
    "decimal": float,
    "dateTime": datetime.fromisoformat,
    "duration": parse_duration,
}


def _read_values(parent: ET.Element | None) -> dict[str, object]:
    values: dict[str, object] = {}
    for item in parent if parent is not None else ():
        key, value = atom.find(item, "Key"), atom.find(item, "Value")
        if key is None or not key.text or value is None:
            raise RuleError("a property or parameter has no key or no value")
        kind = _kind(value) or "string"
        if kind not in _READERS:
            raise RuleError(f"{key.text}: values of the type {kind} aren't supported")
        try:
            values[key.text] = _READERS[kind](value.text or "")
        except ValueError as error:
            raise RuleError(f"{key.text}: {error}") from error
    return values


def _write_values(parent: ET.Element, name: str, values: Mapping[str, object]) -> None:
    element = atom.add(parent, name)
    for key, value in values.items():
        kind, text = _typed(value)
        item = atom.add(element, "KeyValueOfstringanyType")
        atom.add(item, "Key", key)
        atom.add(item, "Value", text, **{"xmlns:d": atom.SCHEMA, "i:type": f"d:{kind}"})


def _typed(value: object) -> tuple[str, str]:
    match value:
        case bool():
            return "boolean", str(value).lower()
        case int():
            return "long" if abs(value) > 2**31 - 1 else "int", str(value)
        case float():
            return "double", repr(value)
        case datetime():
            # One without a zone is given back without.
            return "dateTime", value.isoformat() if value.tzinfo is None else atom.moment(value)
        case timedelta():
            return "duration", format_duration(value)
        case _:
            return "string", str(value)
