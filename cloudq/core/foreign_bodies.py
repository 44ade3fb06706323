"""What came in place of a message: the mistakes that senders in other languages make, by their first bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cloudq.errors import UndecodableError

# What JSON never begins with.
_MARKS: Final[Mapping[bytes, str]] = {
    b"\xef\xbb\xbf": "a byte order mark (BOM): write UTF-8 without one",
    b"\xff\xfe": "a byte order mark of UTF-16: write UTF-8, without one",
    b"\xfe\xff": "a byte order mark of UTF-16: write UTF-8, without one",
    b"\x1f\x8b": "the mark of gzip: send it uncompressed",
    b"@\x06string": "the mark of .NET's DataContractSerializer: send the bytes of the JSON",
}


def refuse_marked(body: bytes) -> None:
    """Refuses a body that begins with what is no JSON.

    Raises:
        UndecodableError: Saying what it is, and what to do.
    """
    for mark, what in _MARKS.items():
        if body.startswith(mark):
            raise UndecodableError(f"the body isn't JSON: it begins with {what}")


def in_place_of_an_event(value: object) -> str:
    """What a body's JSON is, if it is no object, and what to do where that is known."""
    kind = f"the body is a JSON {type(value).__name__}, not a CloudEvents object"
    if isinstance(value, str) and value.lstrip().startswith("{"):
        return f"{kind}: JSON that was written as JSON again; give the client the object, or the bytes of its JSON"
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return f"{kind}: send each event as a message of its own"
    return kind
