"""A key that an object has twice is found, however it is written and however deep; nothing else is taken for one."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudq.core import wire
from cloudq.core.doubled_keys import doubled_key
from cloudq.errors import UndecodableError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8) | st.sampled_from([":", '":', "\\"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (b'{"a":1,"a":2}', "a"),
        (b'{"a":1,"\\u0061":2}', "a"),
        (b'{"x":[{"k":{"z":1, "z" :2}}]}', "z"),
        (b'{"a":1,"b":"\\u003a","a":2}', "a"),
        (b'{"a":1,"b":"\\u003A\\\\u003a","a":2}', "a"),
        (b'{"b\\\\":1,"a":":","a":2}', "a"),
        (b'{"":1,"":2}', ""),
        (b'{"n":%s,"n":1}' % (b"9" * 4000), "n"),
    ],
)
def test_a_key_twice_is_found(text: bytes, key: str) -> None:
    """At any depth, with escapes resolved, and where colons within texts would make up for its own."""
    assert key == doubled_key(text, msgspec.json.decode(text))


@given(JSON, st.booleans(), st.sampled_from([None, 1]))
def test_no_other_text_is_taken_for_one(value: object, ascii_only: bool, indent: int | None) -> None:
    """Whatever the values and keys are, and however they are written."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    try:
        decoded = msgspec.json.decode(text)
    except (ValueError, UnicodeError):
        return  # half of a surrogate pair
    assert doubled_key(text, decoded) is None


@given(JSON, st.text(max_size=4), JSON, JSON, st.booleans())
def test_whatever_lies_around_it(around: object, key: str, first: object, second: object, escaped: bool) -> None:
    """A doubled key is found beside any other values."""
    name = json.dumps(key)
    other = '"' + "".join(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else char for char in key) + '"'
    inner = f"{{{name}:{json.dumps(first)},{other if escaped else name}:{json.dumps(second)}}}"
    text = f"[{json.dumps(around)},{inner}]".encode("utf-8", "surrogatepass")
    try:
        decoded = msgspec.json.decode(text)
    except (ValueError, UnicodeError):
        return
    assert key == doubled_key(text, decoded)


EVENT = '"specversion":"1.0","id":"1","source":"s","type":"t"'


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (f'{{{EVENT},"type":"u"}}', "the key 'type' twice"),
        (f'{{{EVENT},"data":{{"n":1,"n":2}}}}', "the key 'n' twice"),
        (f'{{{EVENT},"data":{{"deep":[{{"n":1,"n":2}}]}}}}', "the key 'n' twice"),
        (f'{{{EVENT},"headers":"{{\\"a\\":\\"1\\",\\"\\\\u0061\\":\\"2\\"}}"}}', "headers has the key 'a' twice"),
        (f'{{{EVENT},"data_base64":"eyJuIjoxLCJuIjoyfQ=="}}', "the key 'n' twice"),
        (f'{{{EVENT},"data":{{}},"data_base64":"e30="}}', "both data and data_base64"),
    ],
)
def test_an_event_with_a_key_twice_is_refused(body: str, why: str) -> None:
    """In the event, its headers, its data at any depth, in base64 too; data beside data_base64 as well."""
    with pytest.raises(UndecodableError, match=why):
        wire.decode(body.encode(), "q")
