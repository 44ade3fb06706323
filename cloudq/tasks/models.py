"""pydantic models in payloads, for users who have pydantic: known by their marks, never imported here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

# What pydantic writes instead of a secret.
_MASK = b"**********"


def is_model(kind: object) -> bool:
    """Whether a type is a pydantic model."""
    return isinstance(kind, type) and hasattr(kind, "__pydantic_validator__") and hasattr(kind, "model_validate_json")


def write_model(value: object) -> object:
    """The `enc_hook` of msgspec: a model as JSON, in the form that the model itself reads.

    Raises:
        TypeError: It is no model.
        ValueError: It holds a secret, which pydantic would replace by asterisks.
    """
    if not is_model(type(value)):
        raise TypeError(f"a {type(value).__name__} isn't a JSON value")
    model: Any = value
    # By alias and without computed fields: what it writes, it reads.
    encoded: bytes = model.model_dump_json(by_alias=True, round_trip=True).encode()
    if _MASK in encoded and _holds_secret(model.model_dump()):
        raise ValueError(f"{type(value).__name__} holds a secret, which pydantic would replace by asterisks")
    return msgspec.Raw(encoded)


def read_model(kind: type, value: object) -> object:
    """The `dec_hook` of msgspec: a model from JSON values.

    Raises:
        TypeError: `kind` is no model.
        ValueError: The value doesn't fit it (pydantic's ValidationError is one).
    """
    if not is_model(kind):
        raise TypeError(f"a {kind.__name__} can't be read from JSON")
    model: Any = kind
    # As JSON, so that pydantic applies its rules for JSON (a strict model takes a date as text there).
    return model.model_validate_json(msgspec.json.encode(value))


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
