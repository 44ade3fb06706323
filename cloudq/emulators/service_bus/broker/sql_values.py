"""How a SQL filter computes: with three truth values, `None` being unknown.

After "Subscription Rule SQL Filter Syntax" (Microsoft, 2023-08): what is unknown makes the result unknown, but for AND
and OR where the other side decides. Types that C# wouldn't bring together are unknown, too.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from cloudq.emulators.service_bus.broker.sql_tokens import SqlError

Value = object
_MIN_LONG: Final = -(2**63)
_MAX_LONG: Final = 2**63 - 1

COMPARISONS: Final[dict[str, Callable[[Any, Any], object]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_EQUALITIES: Final = ("=", "<>", "!=")


def both(left: Value, right: Value) -> bool | None:
    """AND."""
    if left is False or right is False:
        return False
    return True if left is True and right is True else None


def either(left: Value, right: Value) -> bool | None:
    """OR."""
    if left is True or right is True:
        return True
    return False if left is False and right is False else None


def negated(value: Value) -> bool | None:
    """NOT."""
    return not value if isinstance(value, bool) else None


def compared(symbol: str, left: Value, right: Value) -> bool | None:
    """A comparison."""
    left, right = _plain(left), _plain(right)
    if left is None or right is None:
        return None
    if not (_is_number(left) and _is_number(right)) and type(left) is not type(right):
        return None
    if isinstance(left, bool) and symbol not in _EQUALITIES:
        return None
    try:
        return bool(COMPARISONS[symbol](left, right))
    except TypeError:  # of types that have no order
        return None


def contained(value: Value, options: Sequence[Value]) -> bool | None:
    """IN."""
    if value is None:
        return None
    results = [compared("=", value, option) for option in options]
    return True if True in results else None if None in results else False


def alike(value: Value, pattern: Value, escape: Value) -> bool | None:
    """LIKE."""
    value = _plain(value)
    if not isinstance(value, str) or not isinstance(pattern, str):
        return None
    if escape is not None and (not isinstance(escape, str) or len(escape) != 1):
        raise SqlError("ESCAPE needs one character")
    return _pattern(pattern, escape).fullmatch(value) is not None


def computed(symbol: str, left: Value, right: Value) -> Value:
    """Arithmetic; + also joins strings."""
    if symbol == "+" and isinstance(left, str) and isinstance(right, str):
        return left + right
    if not isinstance(left, (int, float)) or not isinstance(right, (int, float)):
        return None
    if isinstance(left, bool) or isinstance(right, bool):
        return None
    whole = isinstance(left, int) and isinstance(right, int)
    try:
        return _fitting(_arithmetic(symbol, left, right, whole=whole))
    except (ZeroDivisionError, OverflowError, ValueError) as error:
        raise SqlError(f"{left} {symbol} {right}: {error}") from error


def signed(symbol: str, value: Value) -> Value:
    """A sign before a value."""
    return computed(symbol, 0, value) if _is_number(value) else None


def _arithmetic(symbol: str, left: float, right: float, *, whole: bool) -> float:
    match symbol:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/" if whole:
            # As C# divides: towards zero.
            quotient = abs(left) // abs(right)
            return quotient if (left < 0) == (right < 0) else -quotient
        case "/":
            return left / right
        case _ if whole:
            return left - right * _arithmetic("/", left, right, whole=True)
        case _:
            return math.fmod(left, right)


def _fitting(value: float) -> float:
    if isinstance(value, int) and not _MIN_LONG <= value <= _MAX_LONG:
        raise OverflowError("the result doesn't fit into 64 bits")
    return value


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain(value: Value) -> Value:
    return str(value) if isinstance(value, UUID) else value


@lru_cache(maxsize=256)
def _pattern(pattern: str, escape: str | None) -> re.Pattern[str]:
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            parts.append(re.escape(next(characters, escape)))
        elif character == "%":
            # Two in a row say no more than one, and would take ever longer to match.
            if parts[-1:] != [".*"]:
                parts.append(".*")
        else:
            parts.append("." if character == "_" else re.escape(character))
    return re.compile("".join(parts), re.DOTALL)
