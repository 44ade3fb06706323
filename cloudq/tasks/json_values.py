"""From Python's values to JSON's: what a reader of the encoded payload would get."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from cloudq.core.doubled_keys import doubled_key
from cloudq.core.printable import NAME_CHARS, shortened
from cloudq.errors import PayloadError
from cloudq.tasks.models import plain, write_value

# Kept, since making one at each send would take as long as the encoding itself.
_ENCODER: Final = msgspec.json.Encoder(enc_hook=write_value)
_DECODER: Final = msgspec.json.Decoder()
_NAMES: Final = frozenset({str})


def to_json(values: Mapping[str, object], task: str) -> dict[str, object]:
    """The values as JSON values: what a reader of the encoded payload would get.

    Raises:
        PayloadError: Naming the field that holds something that isn't JSON, or of which JSON would lose a part.
    """
    # dict and str, the usual case, are checked first: a check against an abstract class takes four times as long.
    if not isinstance(values, (dict, Mapping)) or not (_NAMES.issuperset(map(type, values)) or _are_texts(values)):
        raise PayloadError(f"{task}: the payload is no object of arguments by name", hint='{"name": value, ...}')
    try:
        # msgspec knows no mapping but dict.
        encoded = _ENCODER.encode(values if isinstance(values, dict) else dict(values))
        payload: dict[str, object] = _DECODER.decode(encoded)
        # JSON has no NaN and no infinity; msgspec writes them as null, which would change the payload silently.
        not_finite = _not_finite(values) if b"null" in encoded else None
        # Nor has it keys but texts: of 1 and "1", which it writes both, a reader gets the last one.
        doubled = doubled_key(encoded, payload)
    except Exception as error:
        field, reason = _culprit(values) or (None, error)
        where = "the payload" if field is None else field
        raise PayloadError(f"{task}: {where} can't travel as JSON: {reason}", field=field, hint=_PLAIN) from error
    if not_finite is not None:
        raise PayloadError(
            f"{task}: {not_finite} holds a number that JSON doesn't have (NaN or infinity)",
            field=not_finite,
            hint="send None, or leave it out",
        )
    if doubled is not None:
        field = _with_doubled_key(values)
        raise PayloadError(
            f"{task}: {'the payload' if field is None else field} has two keys that are one in JSON, "
            f"{shortened(doubled, NAME_CHARS)!r}: a value would be lost",
            field=field,
            hint="keys that differ as texts",
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
    """The field that holds such a number, however deep."""
    for name, value in values.items():
        left = [msgspec.to_builtins(value, enc_hook=plain)]
        while left:
            part = left.pop()
            if isinstance(part, float):
                if not math.isfinite(part):
                    return name
            elif isinstance(part, dict):
                left += part.values()
            elif isinstance(part, (list, tuple, set, frozenset)):
                left += part
    return None


def _with_doubled_key(values: Mapping[str, object]) -> str | None:
    """The field that holds one; `None` where it is the fields' own names."""
    texts = ((name, _ENCODER.encode(value)) for name, value in values.items())
    return next((name for name, text in texts if doubled_key(text, _DECODER.decode(text)) is not None), None)
