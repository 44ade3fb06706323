"""`SigningKeys`: the keys that messages are signed with, as a setting names them. Never shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from cloudq.errors import ConfigurationError

LEAST_BYTES: Final = 32  # as many as HMAC-SHA256 gives: a shorter key would be the weaker part
MOST_BYTES: Final = 256
MOST_KEYS: Final = 16
EXAMPLE: Final = '"2026a:" and what `openssl rand -hex 32` prints'

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_HEXADECIMAL: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")


class SigningKey:
    """One key.

    Attributes:
        id: Its name, which travels with what it signed.
        secret: Its bytes.
    """

    __slots__ = ("id", "secret")

    def __init__(self, id_: str, secret: bytes) -> None:
        self.id = id_
        self.secret = secret

    def __repr__(self) -> str:
        """Without the secret."""
        return f"SigningKey({self.id!r})"


class SigningKeys:
    """The keys: the first one signs, each of them verifies.

    Args:
        keys: At least one.
    """

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        self.first = keys[0]
        self._by_id = {key.id: key for key in keys}

    def __repr__(self) -> str:
        """The names alone."""
        return f"SigningKeys({', '.join(self._by_id)})"

    @property
    def ids(self) -> Sequence[str]:
        """Their names, the first one's first."""
        return list(self._by_id)

    def get(self, id_: str) -> SigningKey | None:
        """The key of that name, if it is one of these."""
        return self._by_id.get(id_)


def parse_signing_keys(text: str, name: str) -> SigningKeys:
    """The keys in a setting: `ID:HEXADECIMAL`, several with commas between them.

    Args:
        text: The setting.
        name: Its name, for errors: these never show what is set.

    Raises:
        ConfigurationError: There is none, or too many, an id twice, or one isn't of that form or length.
    """
    entries = [entry.strip() for entry in text.split(",")]
    if entries[-1] == "" and len(entries) > 1:
        entries.pop()  # a comma at the end
    if len(entries) > MOST_KEYS:
        raise ConfigurationError(f"{name} has {len(entries)} keys; at most {MOST_KEYS} are kept")
    keys: list[SigningKey] = []
    for number, entry in enumerate(entries, 1):
        what = f"{name}, key {number} of {len(entries)}:"
        id_, colon, digits = entry.partition(":")
        if not colon or not _ID.fullmatch(id_):
            raise ConfigurationError(
                f"{what} it begins with its name, 1 to 32 letters, digits, _ and -, and a colon", hint=f"e.g. {EXAMPLE}"
            )
        if not _HEXADECIMAL.fullmatch(digits):
            raise ConfigurationError(
                f"{what} behind the colon stand pairs of hexadecimal digits, and nothing else", hint=f"e.g. {EXAMPLE}"
            )
        secret = bytes.fromhex(digits)
        if not LEAST_BYTES <= len(secret) <= MOST_BYTES:
            raise ConfigurationError(
                f"{what} it has {len(secret)} bytes; {LEAST_BYTES} to {MOST_BYTES} are needed", hint=f"e.g. {EXAMPLE}"
            )
        if any(key.id == id_ for key in keys):
            raise ConfigurationError(f"{what} another one has the same name", hint="give each key a name of its own")
        keys.append(SigningKey(id_, secret))
    return SigningKeys(keys)
