"""Names of blobs: relative, plain, and bounded, whatever the store makes of names."""

from __future__ import annotations

import pytest

from cloudq.core.reference import MAX_KEY, Reference, is_key, is_sha256


@pytest.mark.parametrize("key", ["a", "2026-01-31/0f.json", "a/b/c", "-a_.b", "a" * MAX_KEY])
def test_a_plain_relative_name_may_be_a_blobs(key: str) -> None:
    """Parts of letters, digits, hyphens, underscores and dots."""
    assert is_key(key)


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a/", "a//b", "..", "../a", "a/../b", ".hidden", "a/.b", "s3://b/a", "a*", "a b", "ä", "a\n", "a" * 513],
)
def test_a_name_that_could_lead_elsewhere_may_not(key: str) -> None:
    """Out of the folder, into another store, or to more than one blob."""
    assert not is_key(key)


@pytest.mark.parametrize(
    ("text", "is_one"), [("0" * 64, True), ("F" * 64, False), ("0" * 63, False), ("0" * 65, False)]
)
def test_a_digest_is_64_lower_case_digits(text: str, is_one: bool) -> None:
    """As `hexdigest` writes it."""
    assert is_one is is_sha256(text)


def test_people_are_shown_the_name_and_the_size() -> None:
    """And not the digest."""
    assert "a/b.json (1,234 bytes)" == str(Reference(key="a/b.json", sha256="0" * 64, size=1234))
