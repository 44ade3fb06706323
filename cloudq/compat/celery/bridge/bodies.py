"""The body of a Celery message: unpacked within bounds, and read as JSON and nothing else.

The names of encodings and compressions are kombu's (`kombu/compression.py`, `kombu/transport/virtual/base.py`, 5.7).
"""

from __future__ import annotations

import base64
import bz2
import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from cloudq.compat.celery.bridge.stays import Stays, Why
from cloudq.core.printable import NAME_CHARS, shortened

# Of a message, and of its body unpacked: 16 times as much as SQS stores, and no backend of cloudq takes a larger one
# without a store for large payloads.
MOST_BYTES: Final = 16 * 1024 * 1024

_JSON: Final = "application/json"
_PICKLE: Final = "application/x-python-serialize"


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_DECOMPRESSORS: Final[Mapping[str, Callable[[], _Decompressor]]] = {
    "application/x-gzip": zlib.decompressobj,
    "application/x-bz2": bz2.BZ2Decompressor,
    "application/x-bzip2": bz2.BZ2Decompressor,
    "application/x-lzma": lzma.LZMADecompressor,
}


def unpacked(body: str, encoding: str | None, compression: object) -> bytes:
    """The body's bytes, out of what they are wrapped in.

    Args:
        body: As it stands in the message.
        encoding: How it was made a text: `base64`, or not at all.
        compression: How it was made small; `None`: it wasn't.

    Raises:
        Stays: It can't be unpacked, or has too many bytes then.
    """
    data = body.encode("utf-8", "surrogatepass")
    if encoding and encoding.lower() != "utf-8":
        if encoding.lower() != "base64":
            raise Stays(Why.UNREADABLE, f"its body_encoding is {shortened(encoding, NAME_CHARS)!r}, not base64")
        try:
            data = base64.b64decode(data, validate=True)
        except ValueError as error:
            raise Stays(Why.UNREADABLE, f"its body isn't base64: {error}") from error
    if compression is None:
        return data
    if not isinstance(compression, str) or (make := _DECOMPRESSORS.get(compression)) is None:
        known = shortened(str(compression), NAME_CHARS)
        raise Stays(Why.COMPRESSION, f"it is compressed by {known!r}; known are gzip, bzip2 and lzma")
    return _decompressed(make(), data)


def loaded(body: bytes, content_type: str | None, content_encoding: str | None) -> object:
    """What the body says, by kombu's own reader of JSON: what was a datetime, a Decimal, a UUID or bytes is one again.

    Raises:
        Stays: It isn't JSON.
    """
    from kombu import serialization

    if content_type != _JSON:
        kind = shortened(content_type or "unknown", NAME_CHARS)
        said = "pickle, which is never loaded" if kind == _PICKLE else f"{kind}, not {_JSON}"
        raise Stays(Why.SERIALIZER, f"its arguments are {said}")
    try:
        return serialization.loads(body, _JSON, content_encoding or "utf-8", accept={_JSON})
    except Exception as error:  # whatever a reader raises for what a stranger wrote
        raise Stays(Why.UNREADABLE, f"its body can't be read as JSON: {type(error).__name__}") from error


def _decompressed(tool: _Decompressor, data: bytes) -> bytes:
    try:
        opened = tool.decompress(data, MOST_BYTES + 1)
    except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError) as error:
        raise Stays(Why.UNREADABLE, f"its body can't be decompressed: {error}") from error
    if len(opened) > MOST_BYTES:
        raise Stays(Why.TOO_LARGE, f"its body has more than {MOST_BYTES:,} bytes once it is decompressed")
    if not tool.eof:
        raise Stays(Why.UNREADABLE, "its body is compressed, and cut off")
    return opened
