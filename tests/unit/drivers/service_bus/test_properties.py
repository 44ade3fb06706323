"""Ids and sessions of at most 128 characters, each key with a name of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudq.drivers.service_bus.properties import LONGEST, group_of, native_name


@given(st.text())
def test_a_name_is_never_too_long(key: str) -> None:
    """Whatever the key, Service Bus takes its name."""
    assert len(native_name(key)) <= LONGEST


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_keys_have_different_names(one: str, other: str) -> None:
    """No two keys share a session."""
    assert (native_name(one) == native_name(other)) == (one == other)


def test_a_usual_key_is_its_own_name() -> None:
    """A session in the portal says whose it is."""
    assert native_name("customer-42") == "customer-42"


def test_a_session_is_its_messages_ordering_key() -> None:
    """A key that had to be hashed is handed over as it was; a foreign session is what it says."""
    long = "k" * 200
    assert group_of(native_name(long), long) == long
    assert group_of("theirs", None) == "theirs"
    assert group_of("theirs", "other") == "theirs"
