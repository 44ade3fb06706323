"""A header that is there twice hides nothing."""

from __future__ import annotations

from cloudq.push.headers import by_name


def test_names_have_no_case():
    """As HTTP has it."""
    assert {"content-type": "a", "ce-id": "B"} == by_name([("Content-Type", "a"), ("CE-ID", "B")])


def test_each_value_is_kept():
    """As a list; of an event's attribute in lines, as commas are its own."""
    twice = [("Authorization", "Bearer a"), ("authorization", "Bearer b"), ("ce-id", "1,2"), ("Ce-Id", "3")]
    assert {"authorization": "Bearer a, Bearer b", "ce-id": "1,2\n3"} == by_name(twice)
