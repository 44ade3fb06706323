"""Signatures: what of an event is signed, how, and whether it is what was signed. See `docs/reference/wire-format.md`.

All of it is read from the body itself. What is signed are texts as they were written and the very bytes of the data, so
that a signature made in any language holds, and holds in every copy that keeps them (`kept`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from cloudq.core.signing_keys import SigningKey, SigningKeys

ATTRIBUTE: Final = "cloudqsignature"
# Of this list, and of the same with the expiry behind it: another list gets another number. A message that expires
# needs the second; all others keep the first, which older workers know.
VERSION: Final = "1"
WITH_EXPIRY: Final = "2"

_TEXTS: Final = ("id", "source", "type", "time", "idempotencykey", "orderingkey", "fairnesskey")
_MORE_TEXTS: Final = ("headers", "traceparent", "tracestate")
_TIME_LIMIT: Final = "timelimit"
_EXPIRY: Final = "expirytime"
_DATA: Final = ("data", "data_base64", "dataref", "datasha256", "datasize")
# What a copy writes as it was written; all that is signed, and where the data are.
KEPT: Final = frozenset({*_TEXTS, _TIME_LIMIT, *_MORE_TEXTS, *_DATA, _EXPIRY, ATTRIBUTE})

_FORM: Final = re.compile(r"([1-9][0-9]{0,2})\.([A-Za-z0-9_-]{1,32})\.([0-9a-f]{64})")
_NULL: Final = b"null"
_NOTHING: Final = b"0:"  # as `_prefixed` writes the empty text

_Parts = Mapping[str, msgspec.Raw]
_PARTS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER: Final = msgspec.json.Encoder()
_ANY: Final = msgspec.json.Decoder()


def sign(body: bytes, key: SigningKey) -> bytes:
    """The event with its signature, in place of one that it may have.

    Args:
        body: An event that `wire.decode` takes.
        key: What to sign it with.
    """
    parts = _PARTS.decode(body)
    mac = _mac(parts, key)
    parts[ATTRIBUTE] = msgspec.Raw(f'"{_version(parts)}.{key.id}.{mac}"'.encode())
    return _ENCODER.encode(parts)


def kept(body: bytes) -> Mapping[str, msgspec.Raw]:
    """The members of a signed event that its copies keep as they were written, byte for byte."""
    return {name: raw for name, raw in _PARTS.decode(body).items() if name in KEPT}


def fault_in(body: bytes, keys: SigningKeys) -> str | None:
    """Why an event isn't what a holder of one of the keys signed, in words that fit a dead letter's reason, or `None`.

    Args:
        body: An event that `wire.decode` takes.
        keys: Whose signatures count.
    """
    parts = _PARTS.decode(body)
    raw = parts.get(ATTRIBUTE)
    if raw is None or bytes(raw) == _NULL:
        return "it has no signature"
    matched = _FORM.fullmatch(_text(parts, ATTRIBUTE))
    if matched is None:
        return f"its {ATTRIBUTE} isn't VERSION.KEY.HEXADECIMAL"
    version, id_, mac = matched.groups()
    if version not in {VERSION, WITH_EXPIRY}:
        return f"its signature is of version {version}, and this worker knows {VERSION} and {WITH_EXPIRY}"
    if version != _version(parts):
        return f"its signature is of version {version}, and that of an event is {WITH_EXPIRY} if it has an {_EXPIRY}"
    key = keys.get(id_)
    if key is None:
        return f"it is signed with the key {id_!r}, which isn't one of this worker's: {', '.join(keys.ids)}"
    # In constant time: how long it takes says nothing about how much of a guess is right.
    if not hmac.compare_digest(mac.encode(), _mac(parts, key).encode()):
        return "its signature doesn't fit: something was altered, or it was signed with another key"
    return None


def _mac(parts: _Parts, key: SigningKey) -> str:
    version = _version(parts)
    signed = [_prefixed(version), _prefixed(key.id)]
    signed += [_prefixed(_text(parts, name)) if name in parts else _NOTHING for name in _TEXTS]
    signed.append(_prefixed(_time_limit(parts)))
    signed += [_prefixed(_text(parts, name)) if name in parts else _NOTHING for name in _MORE_TEXTS]
    signed.append(_prefixed(_hash_of_data(parts)))
    if version == WITH_EXPIRY:
        signed.append(_prefixed(_text(parts, _EXPIRY)))
    return hmac.digest(key.secret, b"".join(signed), hashlib.sha256).hex()


def _version(parts: _Parts) -> str:
    """Which list is signed: it follows from the event, so that nobody can take its expiry off, or put one on."""
    return WITH_EXPIRY if _text(parts, _EXPIRY) else VERSION


def _prefixed(text: str) -> bytes:
    # By its length, so that ("a", "bc") and ("ab", "c") differ.
    encoded = text.encode()
    return b"%d:%s" % (len(encoded), encoded)


def _text(parts: _Parts, name: str) -> str:
    """A text attribute; empty where there is none, or what stands there is no text and so isn't read."""
    raw = parts.get(name)
    if raw is None:
        return ""
    value = _ANY.decode(raw)
    return value if isinstance(value, str) else ""


def _time_limit(parts: _Parts) -> str:
    """In decimal digits; empty for none. `wire.decode` takes a text of digits, and a number with a fraction of zero."""
    raw = parts.get(_TIME_LIMIT)
    value = None if raw is None else _ANY.decode(raw)
    seconds = int(value) if isinstance(value, (str, int, float)) else 0
    return str(seconds) if seconds else ""


def _hash_of_data(parts: _Parts) -> str:
    """SHA-256 in hexadecimal of the bytes that the task's arguments are read from, as they are stored."""
    data = parts.get("data")
    if data is not None and bytes(data) != _NULL:
        return hashlib.sha256(data).hexdigest()
    encoded = _text(parts, "data_base64")
    if encoded:
        return hashlib.sha256(base64.b64decode(encoded)).hexdigest()
    if _text(parts, "dataref"):
        return _text(parts, "datasha256")
    return hashlib.sha256(b"").hexdigest()
