"""From Python's values to JSON's: what a reader of the encoded payload would get."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from cloudq.errors import PayloadError
from cloudq.tasks.models import plain, write_value

# Kept, since making one at each send would take as long as the encoding itself.
_ENCODER: Final = msgspec.json.Encoder(enc_hook=write_value)
_DECODER: Final = msgspec.json.Decoder()
_NAMES: Final = frozenset({str})


def to_json(values: Mapping[str, object], task: str) -> dict[str, object]:
    """The values as JSON values: what a reader of the encoded payload would get.

    Raises:
        PayloadError: Naming the field that holds something that isn't JSON.
    """
    # dict and str, the usual case, are checked first: a check against an abstract class takes four times as long.
    if not isinstance(values, (dict, Mapping)) or not (_NAMES.issuperset(map(type, values)) or _are_texts(values)):
        raise PayloadError(f"{task}: the payload is no object of arguments by name", hint='{"name": value, ...}')
    try:
        # msgspec knows no mapping but dict.
        encoded = _ENCODER.encode(values if isinstance(values, dict) else dict(values))
        payload: dict[str, object] = _DECODER.decode(encoded)
    except Exception as error:
        field, reason = _culprit(values) or (None, error)
        where = "the payload" if field is None else field
        raise PayloadError(f"{task}: {where} can't travel as JSON: {reason}", field=field, hint=_PLAIN) from error
    # JSON has no NaN and no infinity; msgspec writes them as null, which would change the payload silently.
    if b"null" in encoded and (culprit := _not_finite(values)):
        raise PayloadError(
            f"{task}: {culprit} holds a number that JSON doesn't have (NaN or infinity)",
            field=culprit,
            hint="send None, or leave it out",
        )
    return payload


def _are_texts(names: Iterable[object]) -> bool:
    return all(isinstance(name, str) for name in names)


_PLAIN: Final = "send texts, numbers, lists and objects of them, or declare a type for the parameter"


def _culprit(values: Mapping[str, object]) -> tuple[str, Exception] | None:
    for name, value in values.items():
        try:
            msgspec.json.decode(msgspec.json.encode(value, enc_hook=write_value))
        except Exception as error:  # noqa: BLE001 - reported by the caller
            return name, error
    return None


def _not_finite(values: Mapping[str, object]) -> str | None:
    def has(value: object) -> bool:
        if isinstance(value, float):
            return not math.isfinite(value)
        if isinstance(value, dict):
            return any(has(part) for part in value.values())
        return isinstance(value, (list, tuple, set, frozenset)) and any(has(part) for part in value)

    return next((name for name, value in values.items() if has(msgspec.to_builtins(value, enc_hook=plain))), None)
