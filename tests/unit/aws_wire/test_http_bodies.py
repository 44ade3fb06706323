"""Bodies by what says where they end. How they are chosen, cut and bounded is in test_http_answer.py."""

from __future__ import annotations

import pytest

from cloudq.aws_wire.http_bodies import Body, BrokenAnswer, Chunked, Sized, UntilTheEnd, check_size


def test_a_sized_body() -> None:
    """It is whole at its last byte, and tells whether something came behind it."""
    reader = Sized(3)
    assert None is reader.feed(b"ab")
    assert Body(b"abc", alone=True) == reader.feed(b"c")
    assert Body(b"abc", alone=False) == Sized(3).feed(b"abcd")


def test_a_body_until_the_end() -> None:
    """Only the connection's end is one."""
    reader = UntilTheEnd(3)
    assert None is reader.feed(b"ab")
    assert Body(b"ab", alone=True) == reader.feed(b"")


def test_chunks() -> None:
    """They are put together, wherever they are cut, and their trailers left out."""
    whole = b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\nt: u\r\n\r\n"
    for place in range(1, len(whole)):
        reader = Chunked(3)
        assert None is reader.feed(whole[:place])
        assert Body(b"abc", alone=False) == reader.feed(whole[place:] + b"HTTP")


def test_many_small_chunks_cost_no_more_than_their_bytes() -> None:
    """Each is read once, however many came before it."""
    reader = Chunked(50_000)
    for _ in range(50_000):
        assert None is reader.feed(b"1\r\nx\r\n")
    body = reader.feed(b"0\r\n\r\n")
    assert body is not None
    assert 50_000 == len(body.data)


def test_a_size_beyond_its_bound() -> None:
    """It is refused by one byte more."""
    check_size(3, 3)
    with pytest.raises(BrokenAnswer, match="has 4 bytes or more, of 3"):
        check_size(4, 3)
