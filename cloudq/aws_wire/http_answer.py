"""HTTP/1.1 answers to one request each, without I/O: bytes in, and once it is whole an `Answer` out.

An answer is believed only where it says in one way how long it is, and all of that came. What can be read in two ways
(two lengths, a length beside chunks, a line end without its CR) is refused, not guessed at; and nothing grows without a
bound:

| what | at most |
|---|---|
| a head, and the trailers behind chunks | 64 KiB, and 100 headers |
| answers that only announce another one (1xx) | 8 |
| the line before a chunk | 1 KiB |
| a body | what the reader was made for, and refused by its announced length |
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from cloudq.aws_wire.http_bodies import TOKEN, Body, BodyReader, BrokenAnswer, Chunked, Sized, UntilTheEnd, check_size

_MOST_HEAD: Final = 64 * 1024
_MOST_HEADERS: Final = 100
_MOST_INTERIM: Final = 8

_HEAD: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n\0]*+)?+(?:\r\n" + TOKEN + rb":[^\r\n\0]*+)*+",
)
_LENGTH: Final = re.compile("[0-9]{1,15}")
_BEGINNING: Final = b"HTTP/1."

_NO_CONTENT: Final = frozenset({204, 304})
_SWITCHING: Final = 101


class Answer(msgspec.Struct, frozen=True):
    """A whole answer.

    Attributes:
        status: From 200 on.
        headers: By their names in lower case; of several of one name all the values.
        body: What belongs to it, and no byte more.
        again: Whether its connection may carry another request.
    """

    status: int
    headers: dict[str, str]
    body: bytes | memoryview
    again: bool


class AnswerReader:
    """Reads the answer to one request.

    Args:
        most_body: The most bytes of a body.
    """

    __slots__ = ("_again", "_body", "_headers", "_held", "_interim", "_most_body", "_old", "_status")

    def __init__(self, most_body: int) -> None:
        self._most_body = most_body
        self._held = b""
        self._interim = 0
        self._body: BodyReader | None = None

    def feed(self, data: bytes) -> Answer | None:
        """The answer, once it is whole.

        Args:
            data: What came next; empty: the connection has ended.

        Raises:
            BrokenAnswer: It can't become whole any more, or is none.
        """
        if self._body is not None:
            return self._whole(self._body.feed(data))
        if not data:
            raise BrokenAnswer("was cut within its headers" if self._held or self._interim else "didn't come at all")
        held = self._held + data if self._held else data
        while (end := held.find(b"\r\n\r\n")) >= 0:
            if self._read_head(held[:end]):
                return self._whole(self._begin(memoryview(held)[end + 4 :]))
            held = held[end + 4 :]
        if not held.startswith(_BEGINNING[: len(held)]):
            raise BrokenAnswer("isn't HTTP/1.1")
        if len(held) > _MOST_HEAD:
            raise BrokenAnswer(f"has headers of more than {_MOST_HEAD} bytes")
        self._held = held
        return None

    def _read_head(self, head: bytes) -> bool:
        """`False` if it only announces another one."""
        found = _HEAD.fullmatch(head) if len(head) <= _MOST_HEAD else None
        if found is None:
            raise BrokenAnswer("has headers that are none")
        status = int(found[2])
        if status < 200:
            self._interim += 1
            if status == _SWITCHING or self._interim > _MOST_INTERIM:
                raise BrokenAnswer(f"has the status {status}, for the {self._interim}. time")
            return False
        headers: dict[str, str] = {}
        lines = head.decode("latin-1").split("\r\n")
        if len(lines) > _MOST_HEADERS + 1:
            raise BrokenAnswer(f"has more than {_MOST_HEADERS} headers")
        for line in lines[1:]:
            name, _, value = line.partition(":")
            name, value = name.lower(), value.strip(" \t")
            headers[name] = value if name not in headers else f"{headers[name]}, {value}"
        self._status, self._headers = status, headers
        self._old = found[1] == b"0"
        self._again = not self._old and ("connection" not in headers or "close" not in _items(headers["connection"]))
        return True

    def _begin(self, rest: memoryview) -> Body | None:
        """Finds out what says where the body ends. Most answers are whole by then."""
        length, coding = self._headers.get("content-length"), self._headers.get("transfer-encoding")
        if self._status in _NO_CONTENT:
            # Who says in it how long its body is may send one, later.
            return Body(b"", not rest and coding is None and (length is None or _one_length(length) == 0))
        if coding is not None:
            # A length beside it, another coding, an old protocol: somebody on the way may read it in another way.
            if length is not None or coding.lower() != "chunked" or self._old:
                raise BrokenAnswer(f"has a body of the coding {coding!r} and the length {length!r}")
            self._body = Chunked(self._most_body)
        elif length is None:
            self._again = False
            self._body = UntilTheEnd(self._most_body)
        else:
            size = _one_length(length)
            check_size(size, self._most_body)
            if len(rest) >= size:
                return Body(rest[:size], len(rest) == size)
            self._body = Sized(size)
        return self._body.feed(bytes(rest)) if rest else None

    def _whole(self, body: Body | None) -> Answer | None:
        if body is None:
            return None
        return Answer(self._status, self._headers, body.data, self._again and body.alone)


def _one_length(said: str) -> int:
    """The length, which may be said several times, but not in several ways."""
    if not _LENGTH.fullmatch(said):
        several = _items(said)
        if len(several) != 1 or not _LENGTH.fullmatch(said := several.pop()):
            raise BrokenAnswer(f"has the length {said!r}")
    return int(said)


def _items(value: str) -> set[str]:
    """The items of a list in a header, in lower case."""
    return {item.strip(" \t").lower() for item in value.split(",")}
