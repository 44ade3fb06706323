"""The words of a SQL filter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

KEYWORDS: Final = frozenset({"and", "or", "not", "in", "like", "escape", "is", "null", "exists", "true", "false"})

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)
    | (?P<string>'(?:[^']|'')*')
    | (?P<bracketed>\[(?:[^\]]|\]\])*\])
    | (?P<quoted>"(?:[^"]|"")*")
    | (?P<parameter>@\w+)
    | (?P<word>[^\W\d]\w*)
    | (?P<symbol><>|!=|<=|>=|[=<>+\-*/%(),.;])
    )""",
    re.VERBOSE,
)


class SqlError(ValueError):
    """A SQL filter that can't be read, or can't be evaluated for a message."""


class Token(msgspec.Struct, frozen=True):
    """One word.

    Attributes:
        kind: `number`, `string`, `name`, `parameter`, `keyword` or `symbol`.
        text: What it stands for: unquoted, keywords in lower case.
        position: Where it begins, from 1.
    """

    kind: str
    text: str
    position: int


def tokens(text: str) -> Iterator[Token]:
    """Splits a filter into words.

    Raises:
        SqlError: At a character that begins none.
    """
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        kind = match.lastgroup if match is not None else None
        if match is None or kind is None:
            rest = text[position:].lstrip()
            raise SqlError(f"character {len(text) - len(rest) + 1} ({rest[:1]}) begins nothing that a filter may have")
        yield _token(kind, match.group(kind), match.start(kind) + 1)
        position = match.end()


def _token(kind: str, text: str, position: int) -> Token:
    match kind:
        case "string":
            return Token("string", text[1:-1].replace("''", "'"), position)
        case "bracketed":
            return Token("name", text[1:-1].replace("]]", "]"), position)
        case "quoted":
            return Token("name", text[1:-1].replace('""', '"'), position)
        case "word" if text.lower() in KEYWORDS:
            return Token("keyword", text.lower(), position)
        case "word":
            return Token("name", text, position)
        case _:
            return Token(kind, text, position)
