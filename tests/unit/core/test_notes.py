"""What notes are named and numbered by; what stores do with them is in the store conformance kit."""

from __future__ import annotations

from cloudq.core.notes import new_version, note_digest, shown_name
from cloudq.core.store import ClaimKey


def test_digests_are_apart() -> None:
    """By namespace and name, wherever one ends and the other begins, and from those of claims."""
    made = [note_digest(*pair) for pair in (("a", "bc"), ("ab", "c"), ("a", "b"), ("", "abc"), ("a", "\ud800"))]
    made += [ClaimKey("", "abc").digest(""), ClaimKey("a", "bc").digest("note")]
    assert len(set(made)) == len(made)
    assert {len(digest) for digest in made} == {32}


def test_versions_differ_and_are_never_nothing() -> None:
    """0 stands for no note; a server's signed 64 bits hold them."""
    versions = [new_version() for _ in range(1_000)]
    assert len(set(versions)) == len(versions)
    assert all(0 < version < 2**62 for version in versions)


def test_names_are_shown_as_every_server_takes_them() -> None:
    """PostgreSQL has no NUL in its texts, and none has half of a surrogate pair."""
    assert shown_name("run a/b \u20ac") == "run a/b \u20ac"
    assert shown_name("a\0b\ud800c") == "a\\0b\\ud800c"
    assert len(shown_name("x" * 100_000)) == 600
