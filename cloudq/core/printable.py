"""Text from outside as it is shown: nothing of it steers a terminal, or begins a line or a field of its own.

A message's id, its task's name, its headers and what its error says come from its sender, who may be anybody. Whatever
puts them into a log, a table or an error's text takes them from here.
"""

from __future__ import annotations

from typing import Final

# How many characters of an id or a name, and of a reason or an error's text, a log line shows.
NAME_CHARS: Final = 200
TEXT_CHARS: Final = 1_000

_BEYOND_16_BITS: Final = 0x10000


def printable(text: str) -> str:
    """The text with every character escaped that could steer a terminal; line ends and tabs stay."""
    return _escaped(text, "\n\t")


def in_a_line(text: str) -> str:
    """As `printable`, and what would end the line, or move to the next column, is escaped too."""
    return _escaped(text, "")


def shortened(text: str, most: int) -> str:
    """The text, or its beginning: at most that many characters, the last of which says that there are more."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def printable_json(encoded: bytes) -> bytes:
    """JSON of the same value, with every character in JSON's own escapes that could steer a terminal.

    Args:
        encoded: What msgspec encoded: on one line, in UTF-8.
    """
    text = encoded.decode()
    if text.isprintable():
        return encoded
    # What isn't printable stands within a text, as everything else of JSON is ASCII.
    return "".join(c if c.isprintable() else _in_json(c) for c in text).encode()


def _escaped(text: str, kept: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text)


def _in_json(character: str) -> str:
    number = ord(character)
    if number < _BEYOND_16_BITS:
        return f"\\u{number:04x}"
    high, low = divmod(number - _BEYOND_16_BITS, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
