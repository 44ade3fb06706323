"""`yaml_of`: plain values as YAML, in the few forms that manifests take. No library: the core has none, and reads none.

A text stands bare only where nothing could read it as something else; all others are in double quotes, in which YAML
1.1 and 1.2 read the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

# What begins with a letter is no number, date or indicator in either version; a word of these is no text.
_BARE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
_LAST_OF_ASCII: Final = 0x7E
_LAST_OF_TWO_BYTES: Final = 0xFFFF


def yaml_of(documents: Iterable[Mapping[str, object]]) -> str:
    """The documents, one after the other.

    Args:
        documents: Of mappings, sequences, texts, finite numbers and truth values; `None` is null.
    """
    return "---\n".join("\n".join(_mapping(document, "")) + "\n" for document in documents)


def _mapping(values: Mapping[str, object], indent: str) -> Iterator[str]:
    for key, value in values.items():
        yield from _entry(f"{indent}{_text(key)}:", value, indent + "  ")


def _sequence(values: Sequence[object], indent: str) -> Iterator[str]:
    for value in values:
        if isinstance(value, Mapping) and value:
            first, *rest = _mapping(value, indent + "  ")
            yield f"{indent}- {first.lstrip()}"
            yield from rest
        else:
            yield from _entry(f"{indent}-", value, indent + "  ")


def _entry(begun: str, value: object, indent: str) -> Iterator[str]:
    """A key or a dash, with its value behind or below it."""
    if isinstance(value, Mapping) and value:
        yield begun
        yield from _mapping(value, indent)
    elif isinstance(value, (list, tuple)) and value:
        yield begun
        yield from _sequence(value, indent)
    else:
        yield f"{begun} {_scalar(value)}"


def _scalar(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _text(value)
        case Mapping():
            return "{}"
        case list() | tuple():
            return "[]"
    raise TypeError(f"a {type(value).__name__} has no place in a manifest")


def _text(text: str) -> str:
    if _BARE.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return '"' + "".join(map(_quoted, text)) + '"'


def _quoted(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    number = ord(character)
    if character >= " " and number <= _LAST_OF_ASCII:
        return character
    return f"\\u{number:04X}" if number <= _LAST_OF_TWO_BYTES else f"\\U{number:08X}"
