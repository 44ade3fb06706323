"""Bodies and what lies beside them: SQS stores text of a part of Unicode, cloudq stores bytes."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

from cloudq.core.failure import Failure
from cloudq.errors import UndecodableError

# Beside a body that isn't text, or holds characters that SQS refuses.
ENCODING: Final = "cloudq.encoding"
# Beside a retry's copy: why the message failed last.
FAILURE: Final = "cloudq.failure"
# Beside a dead letter. In any other queue it says that somebody moved the dead letter back with the service's means.
DEAD: Final = "cloudq.dead"
# All, as what other programs have set is handed on with the message.
ATTRIBUTES: Final = ("All",)
# The most that a message has.
MAX_ATTRIBUTES: Final = 10
_OURS: Final = "cloudq."

_BASE64: Final = "base64"
_EMPTY: Final = "="  # a body can't be empty
# All but tab, line feed, carriage return, and from a space on (the service's list). Written as what is allowed it would
# take four milliseconds to compile.
_REFUSED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

Attributes = dict[str, dict[str, Any]]


def stored(
    body: bytes, failure: Failure | None, *, dead: bool, foreign: Mapping[str, Any] | None = None
) -> tuple[str, Attributes]:
    """The text and the attributes to store a body by. Of foreign ones there are as many as SQS takes beside ours."""
    attributes: Attributes = {}
    text = storable(body)
    if text is None:
        text = base64.b64encode(body).decode("ascii") or _EMPTY
        attributes[ENCODING] = {"DataType": "String", "StringValue": _BASE64}
    if failure is not None:
        attributes[DEAD if dead else FAILURE] = _attribute(failure.encode())
    if foreign:
        for name in sorted(foreign)[: MAX_ATTRIBUTES - len(attributes)]:
            attributes[name] = foreign[name]
    return text, attributes


def foreign_of(message: Mapping[str, Any]) -> Attributes | None:
    """The attributes that other programs have set, as they are sent; `None` if there are none."""
    found: Attributes = {}
    for name, attribute in message.get("MessageAttributes", {}).items():
        if name.startswith(_OURS):
            continue
        kind, text, value = (attribute.get(key) for key in ("DataType", "StringValue", "BinaryValue"))
        if kind and value:
            found[name] = {"DataType": kind, "BinaryValue": value}
        elif kind and text:
            found[name] = {"DataType": kind, "StringValue": text}
    return found or None


def ours_of(attributes: Mapping[str, dict[str, Any]]) -> Attributes:
    """Those of them that cloudq reads."""
    return {name: attribute for name, attribute in attributes.items() if name.startswith(_OURS)}


def size(text: str, attributes: Attributes) -> int:
    """The bytes that SQS counts: of the body, and of each attribute's name, type and value."""
    total = len(text) if text.isascii() else len(text.encode())
    for name, attribute in attributes.items():
        value = attribute.get("BinaryValue") or attribute["StringValue"].encode()
        total += len(name) + len(attribute["DataType"]) + len(value)
    return total


def body_of(message: Mapping[str, Any]) -> bytes:
    """The bytes that were stored; of a foreign message, its text in UTF-8."""
    text: str = message.get("Body", "")
    if not message.get("MessageAttributes") or _text(message, ENCODING) != _BASE64:
        return text.encode("utf-8", "surrogatepass")
    try:
        return b"" if text == _EMPTY else base64.b64decode(text, validate=True)
    except ValueError:
        return text.encode("utf-8", "surrogatepass")  # the attribute isn't cloudq's own


def failure_of(message: Mapping[str, Any], name: str) -> Failure | None:
    """The failure in an attribute. Details that can't be read become a failure that says so."""
    kept = _text(message, name)
    if kept is None:
        return None
    try:
        return Failure.decode(kept)
    except UndecodableError as error:
        return Failure(reason=error.message)


def storable(body: bytes) -> str | None:
    """The body as a text that SQS takes, or `None`."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    if text.isprintable():  # as nearly all are, and this takes half the time; no character that SQS refuses is
        return text or None
    return None if _REFUSED.search(text) else text


def _attribute(value: bytes) -> dict[str, Any]:
    text = storable(value)
    if text is None:
        return {"DataType": "Binary", "BinaryValue": value}
    return {"DataType": "String", "StringValue": text}


def _text(message: Mapping[str, Any], name: str) -> str | bytes | None:
    attribute = message.get("MessageAttributes", {}).get(name)
    if attribute is None:
        return None
    value: str | bytes = attribute.get("BinaryValue") or attribute.get("StringValue", "")
    return value
