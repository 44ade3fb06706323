"""Headers in an event: tracing's as attributes, the others as one text."""

from __future__ import annotations

import pytest

from cloudq.core.event_headers import read_headers, written_headers
from cloudq.errors import PayloadError, UndecodableError


@pytest.mark.parametrize(
    ("headers", "written"),
    [
        ({}, (None, None, None)),
        ({"tenant": "a"}, (None, None, '{"tenant":"a"}')),
        ({"traceparent": "00", "tracestate": "s", "b": "é"}, ("00", "s", '{"b":"é"}')),
    ],
)
def test_what_is_written_is_read(headers, written):
    """Each header once, under its name."""
    assert written == written_headers(headers)
    traceparent, tracestate, text = written
    assert headers == read_headers(text, traceparent, tracestate)


def test_what_cannot_be_written_is_refused():
    """Half of a surrogate pair, say."""
    with pytest.raises(PayloadError, match="can't travel"):
        written_headers({"a": "\ud800"})


@pytest.mark.parametrize("encoded", [5, "", "[]", '{"a":1}', "{", '{"a":"b","a":"c"}'])
def test_what_holds_no_headers_is_refused(encoded):
    """No text, no object of texts, a key twice."""
    with pytest.raises(UndecodableError, match=r"^headers "):
        read_headers(encoded, None, None)


def test_a_key_that_is_twice_is_shown_as_far_as_it_fits():
    """A dead letter's reason says that there is more of it: by its beginning it may be taken for another one."""
    key = "k" * 100
    with pytest.raises(UndecodableError, match=r"^headers has the key 'k{50,}… twice$"):
        read_headers(f'{{"{key}":"a","{key}":"b"}}', None, None)


def test_traces_that_are_no_texts_are_passed_over():
    """Others may write what they like there; an empty one is none."""
    assert {"tracestate": "s"} == read_headers(None, 5, "s")
    assert {} == read_headers(None, "", None)
