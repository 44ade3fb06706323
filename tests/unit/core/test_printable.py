"""Text from outside, made harmless to logs and terminals."""

from __future__ import annotations

import json
import sys
import unicodedata

import msgspec
import pytest

from cloudq.core.printable import in_a_line, printable, printable_json, shortened

# 7-bit and 8-bit escapes, DEL, directions, line ends of Unicode, half of a surrogate pair, tags.
HOSTILE = "\x1b[31m\x9b31m\x7f\u202e\u2066\u2028\u2029\x85\x00\r\x0b\U000e0041"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ünï", "plain ünï"),
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("line\n\ttab", "line\n\ttab"),
        ("over\rwrite\x07", "over\\rwrite\\x07"),
        ("right\u202eleft", "right\\u202eleft"),
        ("\udcff", "\\udcff"),
        ("\x9b\x7f\u2028", "\\x9b\\x7f\\u2028"),
    ],
)
def test_what_could_steer_a_terminal_is_made_visible(text: str, expected: str) -> None:
    """Other languages and line ends stay."""
    assert expected == printable(text)


def test_a_line_has_neither_line_ends_nor_columns() -> None:
    """They are escaped too, so that a name can't begin a line or a field."""
    assert "a\\nb\\tc\\u2028d" == in_a_line("a\nb\tc\u2028d")


def test_nothing_that_has_no_shape_is_left() -> None:
    """Of all characters, those of the categories of controls, formats, surrogates and separators are escaped."""
    steering = {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"}
    everything = "".join(c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) in steering)
    assert {" "} == set(in_a_line(everything)) - set(map(chr, range(33, 127)))


def test_what_is_too_long_is_cut_and_says_so() -> None:
    """At most so many characters, the last an ellipsis; what fits stays."""
    assert ("abc", "ab…") == (shortened("abc", 3), shortened("abcd", 3))


def test_json_keeps_its_value_and_steers_nothing() -> None:
    """The same value in JSON's own escapes, beyond 16 bits by pairs; what has nothing to escape is the same bytes."""
    value = {HOSTILE: ["ü😀", HOSTILE]}
    made = printable_json(msgspec.json.encode(value))
    assert made.decode().isprintable()
    assert value == json.loads(made) == msgspec.json.decode(made)
    plain = msgspec.json.encode({"a": "ü😀\n"})
    assert plain is printable_json(plain)
