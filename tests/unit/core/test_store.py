"""The store contract's values."""

from __future__ import annotations

from itertools import combinations

from cloudq.core.store import ClaimKey

PLACES = [
    ("prod", ClaimKey("a", "b")),
    ("staging", ClaimKey("a", "b")),
    ("prod", ClaimKey("ab", "")),
    ("prod", ClaimKey("", "ab")),
    ("prod", ClaimKey("a", "b ")),
    ("prod", ClaimKey("a", "B")),
    ("proda", ClaimKey("", "b")),
    ("prod", ClaimKey("a", "\ud800")),
    ("prod", ClaimKey("a", "é")),
    ("prod", ClaimKey("a", "e\u0301")),
]


def test_a_digest_is_of_one_place_only() -> None:
    """Wherever the namespace ends and the task and the key begin, and whatever characters they have."""
    digests = [key.digest(namespace) for namespace, key in PLACES]
    assert all(one != other for one, other in combinations(digests, 2))
    assert {len(digest) for digest in digests} == {32}


def test_a_digest_is_the_same_in_every_process() -> None:
    """A record is found by it for as long as it is kept."""
    assert ClaimKey("billing.charge", "order-1").digest("prod").hex() == (
        "fdf085885f3c9966605a226a56d452cfc7e3cf95fb41daed748713fadb998854"
    )
