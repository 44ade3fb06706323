"""HTTP/1.1 answers of every shape: what is whole is read, what can be read in two ways is refused."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from cloudq.aws_wire.http_answer import Answer, AnswerReader
from cloudq.aws_wire.http_bodies import BrokenAnswer

MOST = 1000


def read(pieces: Iterable[bytes], *, ended: bool = False) -> Answer | None:
    """What a reader makes of the pieces, and of the connection's end behind them."""
    reader = AnswerReader(MOST)
    for piece in [*pieces, *([b""] if ended else [])]:
        answer = reader.feed(piece)
        if answer is not None:
            return answer
    return None


WHOLE = {
    "a length": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}", True),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length:2\r\n\r\n{}", b"{}", True),
    "an empty reason": (b"HTTP/1.1 200 \r\nCONTENT-LENGTH: \t2 \r\n\r\n{}", b"{}", True),
    "no body": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", True),
    "one length, said twice": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", b"{}", True),
    "one length in a list": (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n{}", b"{}", True),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", b"{}", True),
    "chunks with extensions": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n02;a=b\r\n{}\r\n000;c\r\n\r\n",
        b"{}",
        True,
    ),
    "chunks and trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nContent-Length: 9\r\nx: y\r\n\r\n",
        b"{}",
        True,
    ),
    "chunks that hold line ends": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
        b"\r\n0\r\n\r\n",
        True,
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "no content, and its length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", b"", True),
    "no content, and a length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", b"", False),
    "no content in chunks": (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", b"", False),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\n\r\n", b"", True),
    "not modified, and a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", b"", False),
    "one more to come": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"{}",
        True,
    ),
    "closing": (b"HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
    "HTTP/1.0 that stays": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}",
        b"{}",
        False,
    ),
}
"""Answers, their bodies, and whether their connections may be used again."""


@pytest.mark.parametrize("shape", WHOLE)
def test_a_whole_answer(shape: str) -> None:
    """All at once, byte by byte, and cut in two anywhere: the same comes out, at its last byte and not before."""
    whole, body, again = WHOLE[shape]
    for pieces in (
        [whole],
        [whole[place : place + 1] for place in range(len(whole))],
        *([whole[:place], whole[place:]] for place in range(1, len(whole))),
    ):
        assert None is read(pieces[:-1])
        answer = read(pieces)
        assert answer is not None
        assert (body, again) == (bytes(answer.body), answer.again)


@pytest.mark.parametrize("shape", WHOLE)
def test_an_answer_that_is_cut_at_any_byte(shape: str) -> None:
    """It is never taken for a whole one."""
    whole = WHOLE[shape][0]
    for length in range(len(whole)):
        with pytest.raises(BrokenAnswer):
            read([whole[:length]] if length else [], ended=True)


@pytest.mark.parametrize("shape", WHOLE)
def test_bytes_behind_an_answer(shape: str) -> None:
    """They are never part of it, and nothing else is read from that connection."""
    whole, body, _ = WHOLE[shape]
    for behind in (b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
        answer = read([whole + behind])
        assert answer is not None
        assert (body, False) == (bytes(answer.body), answer.again)
        answer = read([whole[:-1], whole[-1:] + behind])
        assert answer is not None
        assert (body, False) == (bytes(answer.body), answer.again)


@pytest.mark.parametrize("body", [b"", b"{}", b"\r\n\r\n"])
def test_a_body_without_a_length(body: bytes) -> None:
    """It ends with its connection, which can't be used again."""
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    for pieces in ([head + body], [head, body], [head, *(body[place : place + 1] for place in range(len(body)))]):
        came = [piece for piece in pieces if piece]
        assert None is read(came)
        answer = read(came, ended=True)
        assert answer is not None
        assert (body, False) == (answer.body, answer.again)


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

BROKEN = {
    "another protocol": (b"SSH-2.0-OpenSSH_9.7\r\n", "isn't HTTP/1.1"),
    "an old one": (b"HTTP/0.9 200 OK\r\n\r\n", "isn't HTTP/1.1|headers that are none"),
    "a newer one": (b"HTTP/2 200 OK\r\n\r\n", "isn't HTTP/1.1|headers that are none"),
    "a web page": (b"<html>", "isn't HTTP/1.1"),
    "no status": (b"HTTP/1.1 OK\r\n\r\n", "headers that are none"),
    "a status of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", "headers that are none"),
    "a status that says nothing": (b"HTTP/1.1 099 OK\r\n\r\n", "headers that are none"),
    "a header without a name": (OK + b": x\r\n\r\n", "headers that are none"),
    "a space before the colon": (OK + b"Content-Length : 2\r\n\r\n{}", "headers that are none"),
    "a line that goes on": (OK + b"a: b\r\n c\r\n\r\n", "headers that are none"),
    "a line end without its CR": (OK + b"a: b\nContent-Length: 2\r\n\r\n{}", "headers that are none"),
    "a zero in a value": (OK + b"a: \0\r\n\r\n", "headers that are none"),
    "two lengths": (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", "the length '2, 3'"),
    "two lengths in one": (OK + b"Content-Length: 2, 3\r\n\r\n{}x", "the length '2, 3'"),
    "a length below zero": (OK + b"Content-Length: -2\r\n\r\n", "the length '-2'"),
    "a length with a sign": (OK + b"Content-Length: +2\r\n\r\n{}", "the length"),
    "a length in other digits": (OK + "Content-Length: \u00b2\r\n\r\n{}".encode("latin-1"), "the length"),
    "no length at all": (OK + b"Content-Length:\r\n\r\n", "the length ''"),
    "a length beside chunks": (
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "coding 'chunked' and the length '2'",
    ),
    "chunks twice": (OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "coding"),
    "another coding": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "coding 'gzip, chunked'"),
    "chunks of HTTP/1.0": (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "coding"),
    "another protocol from here on": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "status 101"),
    "announcements without an end": (b"HTTP/1.1 102 Processing\r\n\r\n" * 9, "status 102"),
    "a chunk without a length": (CHUNKED + b"\r\n{}\r\n0\r\n\r\n", "no length before a chunk"),
    "a chunk of no number": (CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n", "no length before a chunk"),
    "a chunk below zero": (CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n", "no length before a chunk"),
    "a chunk that is longer": (CHUNKED + b"1\r\n{}\r\n0\r\n\r\n", "another length than it says"),
    "trailers that are none": (CHUNKED + b"2\r\n{}\r\n0\r\nx\r\n\r\n", "trailers that are none"),
    "many headers": (OK + b"a: b\r\n" * 101 + b"\r\n", "more than 100 headers"),
    "long headers": (OK + b"a: " + b"b" * 70_000, "headers of more than 65536 bytes"),
    "long headers that end": (OK + b"a: " + b"b" * 70_000 + b"\r\n\r\n", "headers that are none"),
    "long announcements": (b"HTTP/1.1 103 Early Hints\r\na: " + b"b" * 70_000 + b"\r\n\r\n", "headers that are none"),
    "a long line before a chunk": (CHUNKED + b"2;" + b"x" * 2000, "no length before a chunk"),
    "a long line that ends": (CHUNKED + b"2;" + b"x" * 2000 + b"\r\n{}", "no length before a chunk"),
    "long trailers": (CHUNKED + b"0\r\na: " + b"b" * 70_000, "trailers that are none"),
    "a long body": (OK + b"Content-Length: 1001\r\n\r\n", "has 1001 bytes"),
    "a length beyond any": (OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", "the length"),
    "a long chunk": (CHUNKED + b"3e9\r\n", "has 1001 bytes"),
    "many chunks": (CHUNKED + b"1f4\r\n" + b"x" * 500 + b"\r\n1f5\r\n", "has 1001 bytes"),
    "a long body without a length": (OK + b"\r\n" + b"x" * 1001, "has 1001 bytes"),
}
"""What is refused as soon as it is seen, with what is said of it. The connection hasn't ended."""


@pytest.mark.parametrize("shape", BROKEN)
def test_what_is_refused(shape: str) -> None:
    """All at once or in two pieces; nothing waits for the connection's end or for the rest of a body."""
    whole, said = BROKEN[shape]
    with pytest.raises(BrokenAnswer, match=said):
        read([whole])
    with pytest.raises(BrokenAnswer, match=said):
        read([whole[:9], whole[9:]])


def test_headers_are_found_by_their_names_in_lower_case() -> None:
    """Several of one name are all there, as botocore has them."""
    answer = read([OK + b"X-Amzn-RequestId: 1\r\nVia: a\r\nvia:  b\t\r\nContent-Length: 0\r\n\r\n"])
    assert answer is not None
    assert {"x-amzn-requestid": "1", "via": "a, b", "content-length": "0"} == answer.headers
    assert 200 == answer.status


def test_an_answer_in_one_piece_is_not_copied() -> None:
    """As nearly all are: its body is a part of what came."""
    whole = OK + b"Content-Length: 2\r\n\r\n{}"
    answer = read([whole])
    assert answer is not None
    assert isinstance(answer.body, memoryview)
    assert whole is answer.body.obj
