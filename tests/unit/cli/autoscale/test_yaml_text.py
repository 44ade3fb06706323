"""Values as YAML, read back by a library."""

from __future__ import annotations

import pytest
import yaml

from cloudq.cli.autoscale.yaml_text import yaml_of


@pytest.mark.parametrize(
    "value",
    [
        {"a": {"b": [1, "1", {"c": "d", "e": ["f"]}, [], {}, ["g"]]}},
        {"empty": {}, "none": [], "null": None, "truth": [True, False], "number": [0, -3, 0.25]},
        {"nested": [{"first": {"second": 1}, "third": 2}]},
    ],
)
def test_what_is_nested_comes_back(value: dict[str, object]) -> None:
    """In mappings and sequences, the empty ones too."""
    assert [value] == list(yaml.safe_load_all(yaml_of([value])))


@pytest.mark.parametrize(
    "text",
    [
        *("true", "No", "ON", "null", "~", "y", "", " ", "0x1F", "1_000", "1e3", ".inf", "2026-11-29", "12:30:00", "0"),
        *(
            "a: b",
            "a #b",
            "- a",
            "? a",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "{a}",
            "[a]",
            "'a'",
            '"a"',
            "a\\b",
            "|",
            ">",
        ),
        *("line\nline", "tab\t", "\x00\x1b\x7f\x85", "\u2028", "\ufeff", "é", "😀", "---", "...", "=", "<<", "a,b"),
    ],
)
def test_a_text_comes_back_as_a_text(text: str) -> None:
    """Whatever else it looks like, as a key and as a value."""
    assert [{text: [text, {"a": text}]}] == list(yaml.safe_load_all(yaml_of([{text: [text, {"a": text}]}])))


def test_documents_are_kept_apart() -> None:
    """As many manifests in a file are."""
    assert "a: 1\n---\nb: c\n" == yaml_of([{"a": 1}, {"b": "c"}])


def test_what_has_no_form_is_refused() -> None:
    """A mistake of ours, and no manifest."""
    with pytest.raises(TypeError, match="bytes has no place"):
        yaml_of([{"a": b"x"}])
