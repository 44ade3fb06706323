"""`Reference`: which blob holds a payload that is too large to travel in its message (a claim check)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

# The longest name of a blob, in characters.
MAX_KEY: Final = 512
# Relative, each part of plain characters and none that starts with a dot. So it can't leave the folder that it is
# looked up in (..), name another store (a scheme) or be read as a pattern (*), whatever the store makes of names.
_PART: Final = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
KEY_PATTERN: Final = rf"{_PART}(?:/{_PART})*"
SHA256_PATTERN: Final = r"[0-9a-f]{64}"

_KEY = re.compile(KEY_PATTERN)
_SHA256 = re.compile(SHA256_PATTERN)


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """Which blob holds a payload, and what its bytes must be. It names no store: each worker knows its own.

    Attributes:
        key: The blob's name within the store that the worker is configured for.
        sha256: Of its bytes, in lower-case hexadecimal.
        size: How many bytes it has.
    """

    key: str
    sha256: str
    size: int

    def __str__(self) -> str:
        """For people: the name and the size."""
        return f"{self.key} ({self.size:,} bytes)"


def is_key(text: str) -> bool:
    """Whether a text is a name that a blob may have."""
    return len(text) <= MAX_KEY and _KEY.fullmatch(text) is not None


def is_sha256(text: str) -> bool:
    """Whether a text is a SHA-256 in lower-case hexadecimal."""
    return _SHA256.fullmatch(text) is not None
