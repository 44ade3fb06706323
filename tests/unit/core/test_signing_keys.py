"""The keys of signatures, as a setting names them."""

from __future__ import annotations

import pytest

from cloudq.core.signing_keys import SigningKeys, parse_signing_keys
from cloudq.errors import ConfigurationError

A, B = "aa" * 32, "0B" * 256


def test_the_first_signs_and_all_verify() -> None:
    """Several keys are one setting, with commas, spaces and line ends between them."""
    keys = parse_signing_keys(f"new:{A},\n old-1_x:{B} ,", "KEYS")
    assert ("new", b"\xaa" * 32, ["new", "old-1_x"]) == (keys.first.id, keys.first.secret, list(keys.ids))
    old = keys.get("old-1_x")
    assert old is not None
    assert (b"\x0b" * 256, None) == (old.secret, keys.get("other"))


WRONG = {
    "nothing": ("", "key 1 of 1: it begins with its name"),
    "a comma": (",", "key 1 of 1: it begins with its name"),
    "no name": (A, "key 1 of 1: it begins with its name"),
    "an empty name": (f":{A}", "it begins with its name"),
    "a long name": (f"{'n' * 33}:{A}", "1 to 32 letters"),
    "a name with a dot": (f"a.b:{A}", "1 to 32 letters"),
    "the second": (f"a:{A},b", "key 2 of 2: it begins with its name"),
    "a gap": (f"a:{A},,b:{B}", "key 2 of 3: it begins with its name"),
    "no digits": ("a:", "pairs of hexadecimal digits"),
    "half a pair": (f"a:{A}f", "pairs of hexadecimal digits"),
    "base64": ("a:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==", "pairs of hexadecimal digits"),
    "spaces within": (f"a:{A[:32]} {A[32:]}", "pairs of hexadecimal digits"),
    "too short": (f"a:{A[2:]}", "it has 31 bytes; 32 to 256 are needed"),
    "too long": (f"a:{B}00", "it has 257 bytes; 32 to 256 are needed"),
    "a name twice": (f"a:{A},a:{B}", "another one has the same name"),
    "too many": (",".join(f"k{n}:{A}" for n in range(17)), "17 keys; at most 16"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_no_key_is_refused_and_never_shown(kind: str) -> None:
    """The error names the setting and the place, not what is there."""
    text, why = WRONG[kind]
    with pytest.raises(ConfigurationError, match=f"^KEYS.*{why}") as refused:
        parse_signing_keys(text, "KEYS")
    for secret in (A, B, "c2VjcmV0", A[:32]):
        assert secret not in str(refused.value)
    assert refused.value.__cause__ is None


def test_keys_are_never_shown() -> None:
    """Neither a key nor the collection shows a secret."""
    keys = parse_signing_keys(f"new:{A},old:{B}", "KEYS")
    assert ("SigningKey('new')", "SigningKeys(new, old)") == (repr(keys.first), repr(keys))
    assert isinstance(keys, SigningKeys)
    assert A not in f"{keys} {keys.first} {vars(keys)}"
