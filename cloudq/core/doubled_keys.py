"""`doubled_key`: finds a key that an object of a JSON text has twice, which parsers resolve in different ways.

RFC 8259, section 4 (2017-12) leaves open what such an object means: most parsers take the last, some the first. So what
a gateway looked at needn't be what a task is given.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder()
# The ways to write a colon as an escape.
_ESCAPED_COLONS: Final = (b"\\u003a", b"\\u003A")


def doubled_key(text: bytes, value: object) -> str | None:
    """A key that some object in `text` has twice, however it is escaped, at any depth; `None` if there is none.

    A text that is what the value is written as, as those of cloudq are, has lost no key. In most others the colons are
    counted: each stands behind a key or within a text, so where the decoded value accounts for all of them, no key was
    lost either. Where it doesn't, the text is read again, key by key.

    Args:
        text: JSON that was decoded, and so is valid and no deeper than that allows.
        value: What it was decoded to.
    """
    if _ENCODER.encode(value) == text:
        return None
    if _colons(value) == text.count(b":") and not (b"\\" in text and any(one in text for one in _ESCAPED_COLONS)):
        return None
    try:
        # Numbers stay texts: one may have more digits than Python makes an int of.
        json.loads(text, object_pairs_hook=_refuse_doubled, parse_int=str, parse_float=str, parse_constant=str)
    except _DoubledKeyError as found:
        return found.key
    return None


class _DoubledKeyError(Exception):
    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _refuse_doubled(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for key, _ in pairs:
        if key in seen:
            raise _DoubledKeyError(key)
        seen.add(key)


def _colons(value: object) -> int:
    """How many colons it takes to write the value, if none is an escape."""
    count = 0
    level = [value]
    while level:
        one = level.pop()
        if type(one) is dict:
            count += len(one) + "".join(one).count(":")
            children: Iterable[object] = one.values()
        elif type(one) is list:
            children = one
        else:
            count += one.count(":") if type(one) is str else 0
            continue
        for child in children:
            kind = type(child)
            if kind is str:
                count += child.count(":")  # type: ignore[attr-defined]  # a str, exactly
            elif kind is dict or kind is list:
                level.append(child)
    return count
