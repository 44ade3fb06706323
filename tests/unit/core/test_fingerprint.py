"""What tells two payloads of one key apart."""

from __future__ import annotations

import hashlib

from cloudq.core.fingerprint import fingerprint


def test_it_is_of_the_canonical_json() -> None:
    """The order of the names is no difference; every value is."""
    assert fingerprint({"b": 1, "a": [2]}) == hashlib.sha256(b'{"a":[2],"b":1}').digest()
    assert fingerprint({"a": [2], "b": 1}) == fingerprint({"b": 1, "a": [2]})
    assert fingerprint({"a": 1}) != fingerprint({"a": "1"})
