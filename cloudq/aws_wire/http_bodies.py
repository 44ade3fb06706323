"""The bodies of HTTP/1.1 answers, by what says where they end: a length, chunks, or the connection's own end.

Without I/O: `feed` takes what came, `b""` for the connection's end, and gives the body once it is whole.
"""

from __future__ import annotations

import re
from typing import Final, Protocol

import msgspec

MOST_TRAILERS: Final = 64 * 1024
_MOST_CHUNK_LINE: Final = 1024

TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\0]*)?")
_TRAILERS: Final = re.compile(rb"(?:" + TOKEN + rb":[^\r\n\0]*+\r\n)*+\r\n")


class BrokenAnswer(Exception):
    """It isn't whole, or no answer of HTTP/1.1 at all. The request may have been carried out."""


class Body(msgspec.Struct, frozen=True):
    """A whole body.

    Attributes:
        data: What belongs to it, and no byte more.
        alone: Whether nothing came behind it.
    """

    data: bytes | memoryview
    alone: bool


class BodyReader(Protocol):
    """Reads one body."""

    def feed(self, data: bytes) -> Body | None:
        """The body, once it is whole.

        Raises:
            BrokenAnswer: It can't become whole any more, or is too long.
        """
        ...


class Sized:
    """A body whose length was announced.

    Args:
        length: Its length.
    """

    def __init__(self, length: int) -> None:
        self._missing = length
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> Body | None:
        """The body, once it is whole (see `BodyReader`)."""
        if not data:
            raise BrokenAnswer(f"was cut {self._missing} bytes before its end")
        self._parts.append(data[: self._missing])
        self._missing -= len(data)
        return None if self._missing > 0 else Body(b"".join(self._parts), self._missing == 0)


class UntilTheEnd:
    """A body that ends with its connection. Whether that is all of it, only its own form can say.

    Args:
        most: The most bytes it may have.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> Body | None:
        """The body, once it is whole (see `BodyReader`)."""
        if not data:
            return Body(b"".join(self._parts), alone=True)
        self._size += len(data)
        check_size(self._size, self._most)
        self._parts.append(data)
        return None


class Chunked:
    """A body in chunks, each behind a line with its length; behind the last one, trailers, which nobody wants.

    Args:
        most: The most bytes it may have.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = bytearray()
        self._data = bytearray()

    def feed(self, data: bytes) -> Body | None:
        """The body, once it is whole (see `BodyReader`)."""
        if not data:
            raise BrokenAnswer("was cut within its chunks")
        held = self._held
        held += data
        at = 0
        while (end := held.find(b"\r\n", at)) >= 0:
            size = self._size_in(at, end)
            begin = end + 2
            if not size:
                beyond = self._end_of_trailers(begin)
                if beyond is None:
                    break
                return Body(bytes(self._data), beyond == len(held))
            if len(held) < begin + size + 2:
                break
            if held[begin + size : begin + size + 2] != b"\r\n":
                raise BrokenAnswer("has a chunk of another length than it says")
            self._data += memoryview(held)[begin : begin + size]
            at = begin + size + 2
        else:
            if len(held) - at > _MOST_CHUNK_LINE:
                raise BrokenAnswer("has no length before a chunk")
        del held[:at]
        return None

    def _size_in(self, at: int, end: int) -> int:
        found = _CHUNK.fullmatch(self._held, at, end)
        if found is None or end - at > _MOST_CHUNK_LINE:
            raise BrokenAnswer("has no length before a chunk")
        size = int(found[1], 16)
        check_size(len(self._data) + size, self._most)
        return size

    def _end_of_trailers(self, begin: int) -> int | None:
        held = self._held
        if held.startswith(b"\r\n", begin):
            return begin + 2
        end = held.find(b"\r\n\r\n", begin)
        if end < 0 and len(held) - begin <= MOST_TRAILERS:
            return None
        if end - begin > MOST_TRAILERS or not _TRAILERS.fullmatch(held, begin, end + 4):
            raise BrokenAnswer("has trailers that are none")
        return end + 4


def check_size(size: int, most: int) -> None:
    """Refuses a body that is, or says that it will be, larger than anybody wants.

    Raises:
        BrokenAnswer: It is.
    """
    if size > most:
        raise BrokenAnswer(f"has {size} bytes or more, of {most} that are read")
