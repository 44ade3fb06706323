"""What arrives is what was sent: the values of a send, compared with what a worker would read in their place.

`==` is the wrong relation: 2**53 + 1 equals the float next to it, instances of a class with eq=False are never equal,
and neither are two equal moments of a repeated hour. So values are compared part by part.

What may come back in the declared form: a tuple, a set or a range under Sequence or Iterable, an int under float, and
JSON's form of a value (text for a date, a UUID, a Decimal, bytes, an enum) where that type is declared, as every send
by name or from the shell has them. A zone's name doesn't travel; the moment, the UTC offset and what a repeated hour
means do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Final, NamedTuple

from cloudq.tasks.hints import UNTYPED, field_hints, item_hints, value_hints
from cloudq.tasks.plain import as_plain

_MISSING: Final = object()
# What JSON has: a value of such a type may stand for one of the declared type.
_OF_JSON: Final = frozenset({str, int, float, bool, list, dict, type(None)})
_ATOMS: Final = frozenset({str, int, bool, bytes, type(None)})


class Comparison:
    """One comparison: what it allows, and the places that it found which aren't differences.

    Attributes:
        convert_untyped: Whether what nothing declares may arrive as JSON's form of it (a date as a text).
        forms: The places at which JSON's form of a value was given, so that nothing here says what it stood for.
    """

    __slots__ = ("convert_untyped", "forms")

    def __init__(self, *, convert_untyped: bool = False) -> None:
        self.convert_untyped = convert_untyped
        self.forms: list[str] = []


class Difference(NamedTuple):
    """Where something else would arrive.

    Attributes:
        path: The place, as `.field[0]`.
        given: The type of what was given there.
        arrives: The type of what would arrive.
        untyped: Whether nothing says what it is, so that JSON's own types arrive.
    """

    path: str
    given: str
    arrives: str
    untyped: bool


def difference(
    given: object, arrived: object, hint: object, path: str = "", comparison: Comparison | None = None
) -> Difference | None:
    """The first place at which what arrives isn't what was given, or `None`.

    Args:
        given: What was given.
        arrived: What a worker would read in its place.
        hint: The declared type.
        path: Where both are.
        comparison: The one that this is part of.
    """
    comparison = Comparison() if comparison is None else comparison
    kind = type(arrived)
    # The usual cases first. What follows looks at abstract classes, which takes many times as long.
    if kind is type(given):
        if kind in _ATOMS:
            return None if given == arrived else _differ(given, arrived, hint, path, comparison)
        if (kind is list and _are_same_atoms(given, arrived)) or (kind is dict and _hold_same_atoms(given, arrived)):
            return None
    if given is arrived:
        return None
    if kind is float:
        return None if _same_number(given, arrived) else _differ(given, arrived, hint, path, comparison)  # type: ignore[arg-type]  # its kind was looked at
    if isinstance(arrived, Mapping):
        return _in_mapping(given, arrived, hint, path, comparison)
    if isinstance(arrived, (list, tuple)) and not hasattr(arrived, "_fields"):
        return _in_sequence(given, arrived, hint, path, comparison)
    if isinstance(arrived, (set, frozenset)):
        return _in_set(given, arrived, hint, path, comparison)
    fields = _fields_of(arrived)
    if fields is not None:
        return _in_fields(given, arrived, fields, path, comparison)
    if type(given) in _OF_JSON and kind not in _OF_JSON:
        return _in_form(given, arrived, hint, path, comparison)
    return None if _same_atom(given, arrived, hint) else _differ(given, arrived, hint, path, comparison)


def _are_same_atoms(given: Any, arrived: Any) -> bool:
    """Whether two lists hold equal values without parts, each of the same type: what a glance can tell."""
    kinds = list(map(type, arrived))
    return _ATOMS.issuperset(kinds) and kinds == list(map(type, given)) and bool(given == arrived)


def _hold_same_atoms(given: Any, arrived: Any) -> bool:
    """The same of two dicts, whose keys are in the same order."""
    return _are_same_atoms(list(given), list(arrived)) and _are_same_atoms(list(given.values()), list(arrived.values()))


def _differ(given: object, arrived: object, hint: object, path: str, comparison: Comparison) -> Difference | None:
    untyped = hint is UNTYPED
    if untyped and comparison.convert_untyped:
        return None
    return Difference(path, type(given).__name__, type(arrived).__name__, untyped)


def _in_form(given: object, arrived: object, hint: object, path: str, comparison: Comparison) -> Difference | None:
    """JSON's form of a value, which the declared type has read."""
    if isinstance(arrived, Enum) and given != arrived.value:
        return _differ(given, arrived, hint, path, comparison)
    comparison.forms.append(path)
    return None


# ── values without parts ─────────────────────────────────────────────────────────────────────────────────


def _same_atom(given: object, arrived: object, hint: object) -> bool:
    if isinstance(arrived, float):
        return _same_number(given, arrived)
    if type(arrived) is int and type(given) is float:
        return given == arrived  # JSON has one kind of number
    if isinstance(arrived, Enum):
        return False  # two members are the same if they are one
    if isinstance(given, Enum):  # a member of a StrEnum is a text, and arrives as one where a text is declared
        return hint is not UNTYPED and isinstance(given, type(arrived)) and bool(given.value == arrived)
    if isinstance(arrived, datetime):
        return isinstance(given, datetime) and _same_moment(given, arrived)
    if isinstance(arrived, time):
        return isinstance(given, time) and given == arrived and given.fold == arrived.fold
    if isinstance(arrived, Decimal):
        return isinstance(given, Decimal) and given.as_tuple() == arrived.as_tuple()
    if isinstance(arrived, (bytes, bytearray, memoryview)):
        return isinstance(given, (bytes, bytearray, memoryview)) and bytes(given) == bytes(arrived)
    return _same_plain(given, arrived)


def _same_number(given: object, arrived: float) -> bool:
    if isinstance(given, float):
        return given == arrived and math.copysign(1, given) == math.copysign(1, arrived)
    # An int under float: one that a float can hold.
    return isinstance(given, int) and not isinstance(given, bool) and arrived.is_integer() and int(arrived) == given


def _same_moment(given: datetime, arrived: datetime) -> bool:
    """The wall clock and the offset decide: they tell the second of a repeated hour from the first."""
    if given.utcoffset() != arrived.utcoffset():
        return False
    if given.replace(tzinfo=None, fold=0) != arrived.replace(tzinfo=None, fold=0):
        return False
    return given.tzinfo is not None or given.fold == arrived.fold


def _same_plain(given: object, arrived: object) -> bool:
    if type(given) is not type(arrived):
        try:
            given = as_plain(given)  # a subclass of a plain type arrives as that type
        except TypeError:
            return False
    return type(given) is type(arrived) and bool(given == arrived)


# ── containers ───────────────────────────────────────────────────────────────────────────────────────────


def _in_sequence(
    given: object, arrived: Sequence[object], hint: object, path: str, comparison: Comparison
) -> Difference | None:
    if hint is UNTYPED and type(given) is not type(arrived):
        return _differ(given, arrived, hint, path, comparison)
    items = _items(given)
    if items is None or len(items) != len(arrived):
        return _differ(given, arrived, hint, path, comparison)
    hints = item_hints(hint, arrived)
    for index, (one, other, of) in enumerate(zip(items, arrived, hints, strict=False)):
        if found := difference(one, other, of, f"{path}[{index}]", comparison):
            return found
    return None


def _in_set(
    given: object, arrived: AbstractSet[object], hint: object, path: str, comparison: Comparison
) -> Difference | None:
    items = _items(given)
    if items is None or (isinstance(given, AbstractSet) and len(items) != len(arrived)):
        return _differ(given, arrived, hint, path, comparison)
    of = next(item_hints(hint, [_MISSING]))
    left = list(arrived)
    for one in items:
        # Hash and equality of the elements themselves find the one that it may be; what it is made of decides.
        same = next(
            (index for index, other in enumerate(left) if difference(one, other, of, path, comparison) is None), None
        )
        if same is not None:
            del left[same]
        elif isinstance(given, AbstractSet):
            return _differ(given, arrived, hint, path, comparison)
    return _differ(given, arrived, hint, path, comparison) if left else None


def _items(given: object) -> list[object] | None:
    """What a sequence or a set holds. A text is none, nor is what could be read only once."""
    if isinstance(given, (str, bytes, bytearray, memoryview, Mapping)) or not isinstance(given, Iterable):
        return None
    return list(given) if hasattr(given, "__len__") else None


def _in_mapping(
    given: object, arrived: Mapping[object, object], hint: object, path: str, comparison: Comparison
) -> Difference | None:
    if not isinstance(given, Mapping) or len(given) != len(arrived):
        return _differ(given, arrived, hint, path, comparison)
    of_keys, of_values = value_hints(hint)
    for (key, value), (other_key, other) in zip(given.items(), arrived.items(), strict=True):
        within = f"{path}.{key}" if isinstance(key, str) else f"{path}[{key!r}]"
        # A text may be JSON's form of a key: {"1": ...} under dict[int, ...].
        if not (isinstance(key, str) and not isinstance(other_key, str)) and (
            found := difference(key, other_key, of_keys, path, comparison)
        ):
            return found
        of = of_values.get(key, UNTYPED) if isinstance(of_values, dict) else of_values
        if found := difference(value, other, of, within, comparison):
            return found
    return None


# ── structures ───────────────────────────────────────────────────────────────────────────────────────────


def _fields_of(value: object) -> list[str] | None:
    """The names of all that a structure is made of, private ones included; `None` for what is no structure."""
    kind = type(value)
    for mark in ("__struct_fields__", "__dataclass_fields__", "_fields"):
        names = getattr(kind, mark, None)
        if names is not None:
            return list(names)
    attributes = getattr(kind, "__attrs_attrs__", None)
    if attributes is not None:
        return [attribute.name for attribute in attributes]
    if hasattr(kind, "__pydantic_fields__"):
        return list(kind.__pydantic_fields__)
    return None


def _in_fields(
    given: object, arrived: object, names: list[str], path: str, comparison: Comparison
) -> Difference | None:
    if type(given) in _OF_JSON:
        comparison.forms.append(path)
        return _in_json_of_fields(given, arrived, names, path, comparison)
    if type(given) is not type(arrived):
        return Difference(path, type(given).__name__, type(arrived).__name__, untyped=False)
    hints = field_hints(type(arrived))
    for name in names:
        one, other = getattr(given, name, _MISSING), getattr(arrived, name, _MISSING)
        if found := difference(one, other, hints.get(name), f"{path}.{name}", comparison):
            return found
    return _in_the_rest_of_a_model(given, arrived, path, comparison)


def _in_the_rest_of_a_model(given: object, arrived: object, path: str, comparison: Comparison) -> Difference | None:
    """What pydantic keeps beside the fields: private attributes, and extra ones."""
    for mark in ("__pydantic_private__", "__pydantic_extra__"):
        one, other = getattr(given, mark, None) or {}, getattr(arrived, mark, None) or {}
        for name in one:
            if found := difference(one[name], other.get(name, _MISSING), None, f"{path}.{name}", comparison):
                return found
        if len(one) != len(other):
            name = next(iter(other.keys() - one.keys()))
            return Difference(f"{path}.{name}", "nothing", type(other[name]).__name__, untyped=False)
    return None


# ── JSON's form of a structure ───────────────────────────────────────────────────────────────────────────


def _in_json_of_fields(
    given: object, arrived: object, names: list[str], path: str, comparison: Comparison
) -> Difference | None:
    """An object, or a list where the fields have an order: each of its parts is a field's, and arrives in it."""
    kind = type(arrived)
    if hasattr(kind, "__pydantic_fields__"):
        return None  # what it makes of JSON, and what it passes over, is the model's own to say
    if isinstance(given, dict):
        written: Mapping[str, str] = dict(zip(getattr(kind, "__struct_encode_fields__", names), names, strict=True))
        tag = getattr(getattr(kind, "__struct_config__", None), "tag_field", None)
        parts = [(f"{path}.{key}", written.get(key), value) for key, value in given.items() if key != tag]
    elif isinstance(given, list) and isinstance(arrived, tuple):
        parts = [(f"{path}[{index}]", names[index], value) for index, value in enumerate(given)]
    else:
        return None
    hints = field_hints(kind)
    for place, name, value in parts:
        if name is None:
            return Difference(place, type(value).__name__, "nothing", untyped=False)
        if not _has_code_of_its_own(kind) and (
            found := difference(value, getattr(arrived, name, _MISSING), hints.get(name), place, comparison)
        ):
            return found
    return None


def _has_code_of_its_own(kind: type) -> bool:
    """Whether a structure makes something else of what it is given: then its fields can't be told from it."""
    return any(hasattr(kind, mark) for mark in ("__post_init__", "__attrs_pre_init__", "__attrs_post_init__"))
