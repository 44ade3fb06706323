"""What a message carries that is to be noted in a store: CloudEvents attributes, which every copy keeps."""

from __future__ import annotations

from typing import Final, NamedTuple

from cloudq.core.message import Message

TRACKED: Final = "cloudqtracked"
"""`true`: workers note its runs, and don't run it once it is cancelled."""
DEBOUNCE: Final = "cloudqdebounce"
"""Its key, where it takes the place of the message of that key that waits."""
UNIQUE: Final = "cloudqunique"
"""Its key, where it isn't needed while another message of that key waits."""


class Waiting(NamedTuple):
    """A message of which one is to wait.

    Attributes:
        key: What is the same for those of which one is to wait.
        replaces: Whether it takes the place of the one that waits; else it isn't needed.
    """

    key: str
    replaces: bool


def is_tracked(message: Message) -> bool:
    """Whether its runs are noted, whatever its task declares."""
    return bool(message.extensions) and message.extensions.get(TRACKED) is True


def waiting_of(message: Message) -> Waiting | None:
    """By which key one message is to wait, if it was sent so."""
    for name in (DEBOUNCE, UNIQUE) if message.extensions else ():
        key = message.extensions.get(name)
        if isinstance(key, str):
            return Waiting(key, name == DEBOUNCE)
    return None
