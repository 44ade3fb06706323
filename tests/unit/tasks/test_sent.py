"""What a send gives back."""

from __future__ import annotations

import pickle

import pytest

from cloudq import Sent


def test_only_the_id_is_known_everywhere() -> None:
    """Whether it was a duplicate, and a receipt, depend on the backend."""
    sent = Sent(id="1")
    assert ("1", None, None) == (sent.id, sent.duplicate, sent.receipt)


def test_it_is_a_value() -> None:
    """Equal by what it says, hashable, and not to be changed."""
    sent = Sent(id="1", duplicate=False, receipt="r")
    assert sent == Sent(id="1", duplicate=False, receipt="r") != Sent(id="1")
    assert 1 == len({sent, pickle.loads(pickle.dumps(sent))})  # noqa: S301 - our own bytes
    with pytest.raises(AttributeError):
        sent.id = "2"  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("name", ["get", "wait", "revoke"])
def test_words_of_other_task_queues_are_answered_with_ours(name: str) -> None:
    """There are no results to wait for."""
    with pytest.raises(AttributeError, match=name) as caught:
        getattr(Sent(id="1"), name)
    assert len(str(caught.value)) > len(f"'Sent' object has no attribute {name!r}")


def test_any_other_attribute_is_missing_as_in_python() -> None:
    """And isn't there for `hasattr`."""
    assert not hasattr(Sent(id="1"), "nothing_like_it")
