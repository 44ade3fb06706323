"""Suggestions, and where an import failed."""

from __future__ import annotations

import importlib
import json

import pytest

from cloudq.errors import nearest, place


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("welcom", ["welcome", "goodbye"], "did you mean 'welcome'?"),
        ("zzz", ["b", "a"], "known: a, b"),
        ("zzz", [], "none is declared"),
        ("zzz", list("abcdefghij"), "known: a, b, c, d, e, f, g, h and 2 more"),
        ("zzz", (name for name in ["only"]), "known: only"),
    ],
)  # fmt: skip
def test_the_nearest_known_name_is_suggested(name: str, known: list[str], expected: str) -> None:
    """A near miss names the nearest; else what is known is listed, not without end."""
    assert expected == nearest(name, known)


def test_place_is_the_programs_own_line(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]  # fixtures
    """Of an import that fails within a package the program's own line is told, then where it was raised."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "place_fails.py").write_text("import json\n\njson.loads('{')\n")
    with pytest.raises(ValueError, match="Expecting") as raised:
        importlib.import_module("place_fails")
    told = place(raised.value)
    assert told.startswith(f" ({tmp_path / 'place_fails.py'}:3, raised at {json.__path__[0]}"[:-1])
