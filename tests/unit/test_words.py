"""One word a thing, and plain English: what `cloudq/` and the documentation don't say, with what to say instead.

The things' own words are in `docs/glossary.md`.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

INSTEAD = {
    r"be had": "'be available', 'be started', 'be obtained': what the reader knows the thing to do",
    r"for want of": "'since there is no', 'without'",
    r"nobody's": "say what happens to it: 'is dropped', 'holds up no other'",
    r"who(so)?ever": "name the one: 'the caller', 'the thread that waits', 'the next holder'",
    r"so (many|much|often|little)": "'this many', 'that much', 'this often'",
    r"for so long": "'for this long', 'for that long'",
    r"is told": "'learns', 'is asked to', 'is called with', 'is distinguished'",
    r"what comes": "name it: 'the message that arrives', 'the next frame', 'the rest'",
    r"for ever": "'forever'",
    r"as ever": "'as usual'",
    r"likewise": "say it again, or 'the same'",
    r"mend(ed|s|ing)?": "'fix', 'correct'",
    r"ticket": "'receipt': the driver's proof of a lease, or what cancels a message",
}
"""By a pattern, which is searched for as whole words in any case."""


def banned_in(text: str) -> list[str]:
    """Each line that holds a banned word, with what to say instead."""
    return [
        f"{number}: {found[0]!r}: say {instead}"
        for words, instead in INSTEAD.items()
        for number, line in enumerate(text.splitlines(), 1)
        if (found := re.search(rf"\b{words}\b", line, re.IGNORECASE))
    ]


def test_the_code_says_it_in_plain_words() -> None:
    """Names, comments, docstrings and messages alike."""
    files = sorted((ROOT / "cloudq").rglob("*.py"))
    assert files
    assert [] == [f"{file.relative_to(ROOT)}:{line}" for file in files for line in banned_in(file.read_text("utf-8"))]


def test_the_documentation_says_it_in_plain_words() -> None:
    """But for the decisions, which stay as they were written."""
    decisions = ROOT / "docs/decisions"
    pages = [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        *(page for page in sorted((ROOT / "docs").rglob("*.md")) if not page.is_relative_to(decisions)),
    ]
    assert len(pages) > 30
    assert [] == [f"{page.relative_to(ROOT)}:{line}" for page in pages for line in banned_in(page.read_text("utf-8"))]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("no thread can be had", "be had"),
        ("# Whoever waits for it", "Whoever"),
        ("for want of a slot", "for want of"),
        ("nobody's any more", "nobody's"),
        ("so many slots", "so many"),
        ("What comes too much", "What comes"),
        ("waits for so long", "for so long"),
        ("the holder is told", "is told"),
        ("a ticket", "ticket"),
        ("it waits for ever", "for ever"),
        ("it works as ever", "as ever"),
        ("# likewise", "likewise"),
        ("mend the import", "mend"),
    ],
)
def test_a_banned_word_is_found(line: str, words: str) -> None:
    """With its line, as it stands there."""
    (found,) = banned_in(f"first\n{line}")
    assert found.startswith(f"2: {words!r}: say ")


@pytest.mark.parametrize("line", ["behead", "so that", "so long as", "who ever", "a behaviour", "amend", "forever"])
def test_other_words_are_free(line: str) -> None:
    """A part of a word, or one with another meaning."""
    assert [] == banned_in(line)


def test_the_glossary_has_each_word_once_in_order() -> None:
    """Among them those that were called by several names."""
    page = (ROOT / "docs/glossary.md").read_text("utf-8")
    words = [word.lower() for word in re.findall(r"^(\S.*)\n:   ", page, re.MULTILINE)]
    assert words == sorted(set(words))
    assert {"admission", "receipt", "run", "runner", "slot"} <= set(words)
