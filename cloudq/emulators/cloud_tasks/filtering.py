"""The filters of `ListQueues`: comparisons of a queue's fields, such as `state: PAUSED`, joined by `AND`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, Final

from cloudq.emulators.cloud_tasks.problems import invalid

_COMPARISON: Final = re.compile(r'\s*(?P<path>[A-Za-z_.]+)\s*(?P<sign><=|>=|!=|<|>|=|:)\s*(?P<value>"[^"]*"|\S+)\s*')
_OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
    ":": operator.contains,
}


def matcher(text: str) -> Callable[[Any], bool]:
    """What tells whether a queue's message matches the filter. An empty filter matches all.

    Raises:
        Problem: It is no such filter.
    """
    if not text.strip():
        return lambda _: True
    tests = [_test(part) for part in re.split(r"\s+AND\s+", text.strip())]
    return lambda pb: all(test(pb) for test in tests)


def _test(text: str) -> Callable[[Any], bool]:
    found = _COMPARISON.fullmatch(text)
    if found is None:
        raise invalid(f"Invalid filter: {text!r}.")
    compare = _OPERATORS[found["sign"]]
    wanted = found["value"].strip('"')
    path = found["path"].split(".")

    def matches(pb: Any) -> bool:
        value = _value(pb, path)
        if isinstance(value, str):
            return compare(value.lower(), wanted.lower())
        try:
            number = float(wanted)
        except ValueError as error:
            raise invalid(f"Invalid filter: {wanted!r} is no number.") from error
        return value == number if found["sign"] == ":" else compare(value, number)

    return matches


def _value(pb: Any, path: list[str]) -> str | float:
    for name in path:
        descriptor = getattr(pb, "DESCRIPTOR", None)
        field = None if descriptor is None else descriptor.fields_by_name.get(name)
        if field is None:
            raise invalid(f"Invalid filter: a queue has no field {'.'.join(path)!r}.")
        value = getattr(pb, name)
        pb = field.enum_type.values_by_number[value].name if field.enum_type is not None else value
    if not isinstance(pb, (str, int, float)):
        raise invalid(f"Invalid filter: {'.'.join(path)!r} can't be compared.")
    return pb
