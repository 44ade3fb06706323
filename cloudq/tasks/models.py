"""pydantic in payloads, for users who have it: models are known by their marks, and pydantic is never imported here."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from typing import Any, Final

import msgspec

from cloudq.core.moments import Moments
from cloudq.tasks.hints import is_model, models_within
from cloudq.tasks.plain import as_plain

# What pydantic writes instead of a secret.
_MASK: Final = b"**********"


def is_table(kind: object) -> bool:
    """Whether a type is a SQLModel that is a table, which pydantic doesn't validate (SQLModel's documentation)."""
    return is_model(kind) and bool(getattr(kind, "model_config", {}).get("table"))


def is_frozen(kind: type) -> bool:
    """Whether a type is freezegun's, as `datetime` is in annotations that are resolved while time is frozen."""
    return issubclass(kind, date) and kind.__module__.partition(".")[0] == "freezegun"


def write_value(value: object) -> object:
    """The `enc_hook` of msgspec: a model as JSON in the form that the model itself reads, the rest as plain values.

    Raises:
        TypeError: It is no value that JSON has.
        ValueError: It holds a secret, which pydantic would replace by asterisks.
    """
    return _write_model(value) if is_model(type(value)) else as_plain(value)


def _write_model(model: Any) -> msgspec.Raw:
    kind: Any = type(model)
    # By alias, or by name, and without computed fields: what it writes, it reads.
    written: str = model.model_dump_json(by_alias=not _has_one_sided_alias(kind), round_trip=True)
    encoded = written.encode()
    if _MASK in encoded and _holds_secret(model.model_dump()):
        raise ValueError(f"{type(model).__name__} holds a secret, which pydantic would replace by asterisks")
    return msgspec.Raw(encoded)


@lru_cache(maxsize=1024)
def _has_one_sided_alias(kind: Any) -> bool:
    """Whether a model, or one within it, is written under one name and read under another (`validation_alias=`).

    Then the whole model is written with the fields' own names, which pydantic also accepts (`names_taken`).
    """
    return bool(names_taken()) and any(
        _name_written(name, field) not in _names_read(name, field)
        for model in models_within(kind)
        for name, field in model.__pydantic_fields__.items()
    )


def _name_written(name: str, field: Any) -> str:
    return field.serialization_alias or field.alias or name


def _names_read(name: str, field: Any) -> list[object]:
    alias = field.validation_alias or field.alias or name
    return [*getattr(alias, "choices", [alias])]


@lru_cache(maxsize=1)
def names_taken() -> dict[str, bool]:
    """The arguments that make pydantic accept a field by its alias or its name (from 2.11 on: its changelog)."""
    pydantic = sys.modules["pydantic"]
    major, minor = (int(part) for part in pydantic.VERSION.split(".")[:2])
    return {"by_alias": True, "by_name": True} if (major, minor) >= (2, 11) else {}


def read_value(kind: type, value: object) -> object:
    """The `dec_hook` of msgspec: a model, or a date under freezegun, from JSON values.

    Raises:
        TypeError: `kind` is neither.
        ValueError: The value doesn't fit it (pydantic's ValidationError is one).
    """
    if is_frozen(kind):
        real = Moments.datetime if issubclass(kind, Moments.datetime) else type(Moments.datetime.min.date())
        return msgspec.convert(value, real)
    if not is_model(kind):
        raise TypeError(f"a {kind.__name__} can't be read from JSON")
    model: Any = kind
    # As JSON, so that pydantic applies its rules for JSON (a strict model takes a date as text there).
    return model.model_validate_json(msgspec.json.encode(value), **names_taken())


def plain(value: object) -> object:
    """The `enc_hook` for looking into a value: a model as a dict of what it holds."""
    return value.model_dump() if is_model(type(value)) else None  # type: ignore[attr-defined]  # a model has it


def first_error(error: object) -> tuple[str, str] | None:
    """The path and the text of pydantic's first complaint, without the input; `None` if it isn't pydantic's."""
    if not type(error).__module__.startswith("pydantic") or not hasattr(error, "errors"):
        return None
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    return path, first["msg"]


def _holds_secret(value: object) -> bool:
    if hasattr(value, "get_secret_value"):
        return True
    children: Iterable[object] = value.values() if isinstance(value, dict) else ()
    if isinstance(value, (list, tuple, set, frozenset)):
        children = value
    return any(map(_holds_secret, children))
