"""What senders in other languages get wrong is named, with what to do."""

from __future__ import annotations

import codecs
import gzip
import json

import pytest

from cloudq.core.foreign_bodies import in_place_of_an_event, refuse_marked
from cloudq.errors import UndecodableError

EVENT = json.dumps({"specversion": "1.0"})


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (EVENT.encode("utf-8-sig"), r"\(BOM\): write UTF-8 without one"),
        (codecs.BOM_UTF16_LE + EVENT.encode("utf-16-le"), "UTF-16: write UTF-8"),
        (codecs.BOM_UTF16_BE + EVENT.encode("utf-16-be"), "UTF-16: write UTF-8"),
        (gzip.compress(EVENT.encode(), mtime=0), "gzip: send it uncompressed"),
        (b"@\x06string\x083http://schemas.microsoft.com", "DataContractSerializer: send the bytes of the JSON"),
    ],
)
def test_a_body_that_begins_with_what_is_no_json_is_refused(body: bytes, what: str) -> None:
    """By its first bytes, which say what wrote it."""
    with pytest.raises(UndecodableError, match=f"the body isn't JSON: it begins with .*{what}"):
        refuse_marked(body)


@pytest.mark.parametrize("body", [b"", EVENT.encode(), b"\xff", b"@", b"  {}"])
def test_others_are_left_to_the_reader_of_json(body: bytes) -> None:
    """It knows what is wrong with them, if anything is."""
    refuse_marked(body)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (EVENT, "a JSON str, not a CloudEvents object: JSON that was written as JSON again"),
        ([{"id": 1}, {"id": 2}], "a JSON list, not a CloudEvents object: send each event as a message of its own"),
        ("text", "the body is a JSON str, not a CloudEvents object"),
        ([], "the body is a JSON list, not a CloudEvents object"),
        ([1, {}], "the body is a JSON list, not a CloudEvents object"),
        (None, "the body is a JSON NoneType, not a CloudEvents object"),
    ],
)
def test_json_that_is_no_object_is_named(value: object, what: str) -> None:
    """With what to do, where the mistake is a known one."""
    text = in_place_of_an_event(value)
    assert what in text
    assert text.endswith("object") == what.endswith("object")
