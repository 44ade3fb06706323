"""What a message carries of what operators did with it: how often it was redriven, and who edited it.

CloudEvents attributes, which every copy keeps. They aren't signed, so nothing that matters is decided by them alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from cloudq.core.failure import Failure
from cloudq.core.message import LARGEST_COUNT, Message
from cloudq.core.printable import shortened

REDRIVEN: Final = "cloudqredriven"
"""How often it was sent again from the dead-letter queue: redriven, edited or imported."""
EDITS: Final = "cloudqedits"
"""The latest edits: a JSON array, written as a text, since an attribute can't be one."""

MOST_EDITS: Final = 10
_NAME_CHARS: Final = 200
# Ten edits take a third of it. What is longer was written by somebody else.
_MOST_CHARS: Final = 16 * 1024


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a message by a person or a program of theirs.

    Attributes:
        at: When.
        by: Who, in their own words; at most 200 characters.
        what: The names of what was changed: `payload`, `task`, `idempotency_key`, ...
        was: The fingerprint of the payload before, in hexadecimal: records of the key that have it are of this work.
    """

    at: datetime
    by: str
    what: Sequence[str]
    was: str


_EDITS: Final = msgspec.json.Decoder(list[Edit])
_ENCODER: Final = msgspec.json.Encoder()


def times_redriven(message: Message | None, failure: Failure | None) -> int:
    """How often a message was redriven, by what it says, or, where it can't be decoded, what is kept beside it."""
    said = message.extensions.get(REDRIVEN) if message is not None and message.extensions else 0
    if isinstance(said, str) and said.isascii() and said.isdigit() and len(said) <= len(str(LARGEST_COUNT)):
        said = int(said)  # some SDKs write every extension attribute as a text
    known = said if type(said) is int and 0 <= said <= LARGEST_COUNT else 0
    return max(known, failure.redriven if failure is not None else 0)


def redriven_copy(message: Message, failure: Failure | None) -> Message:
    """The copy that a redrive sends: `Message.redrive_copy`, counted.

    Args:
        message: The dead one.
        failure: What is kept beside it.
    """
    copy = message.redrive_copy(generation=failure.generation if failure is not None else 0)
    count = min(times_redriven(message, failure) + 1, LARGEST_COUNT)
    return replace(copy, extensions={**copy.extensions, REDRIVEN: count})


def edits_of(message: Message) -> Sequence[Edit]:
    """The latest edits, the oldest of them first. None where the attribute isn't what cloudq writes."""
    text = message.extensions.get(EDITS) if message.extensions else None
    if not isinstance(text, str) or len(text) > _MOST_CHARS:
        return ()
    try:
        return tuple(_EDITS.decode(text))
    except (ValueError, RecursionError):
        return ()


def former_fingerprints(message: Message) -> frozenset[str]:
    """The fingerprints, in hexadecimal, of the payloads that edits replaced."""
    return frozenset(edit.was for edit in edits_of(message)) if EDITS in message.extensions else frozenset()


def with_edit(message: Message, edit: Edit) -> Message:
    """The message with one more edit; the oldest goes where there are `MOST_EDITS`."""
    edits = [*edits_of(message), replace(edit, by=shortened(edit.by, _NAME_CHARS))]
    text = _ENCODER.encode(edits[-MOST_EDITS:]).decode()
    extensions: Mapping[str, object] = {**message.extensions, EDITS: text}
    return replace(message, extensions=extensions)
