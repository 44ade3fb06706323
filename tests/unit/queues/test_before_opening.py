"""Who is asked before a backend is opened: the look that was added last."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloudq.queues import before_opening
from cloudq.queues.before_opening import Look, add_look, look_before_opening, remove_look


@pytest.fixture(autouse=True)
def none_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin of this very test run has a look of its own."""
    monkeypatch.setattr(before_opening, "_looks", [])


@pytest.fixture
def asked() -> list[tuple[str, object, str]]:
    return []


@pytest.fixture
def looks(asked: list[tuple[str, object, str]]) -> Iterator[tuple[Look, Look]]:
    def outer(opener: object, url: str) -> None:
        asked.append(("outer", opener, url))

    def inner(opener: object, url: str) -> None:
        asked.append(("inner", opener, url))

    return iter([(outer, inner)])


def test_without_a_look_anything_is_opened() -> None:
    """As in every program but a test run."""
    look_before_opening(object(), "sqs://eu-west-1")


def test_the_last_look_is_asked_and_no_other(looks, asked) -> None:
    """A test run within a test run has its own rules; at its end the outer one's hold again."""
    outer, inner = next(looks)
    opener = object()
    add_look(outer)
    add_look(inner)
    look_before_opening(opener, "a://")
    remove_look(inner)
    look_before_opening(opener, "b://")
    remove_look(outer)
    look_before_opening(opener, "c://")
    assert [("inner", opener, "a://"), ("outer", opener, "b://")] == asked


def test_a_look_that_is_not_asked_can_be_removed(looks) -> None:
    """Twice, or before it was added."""
    outer, inner = next(looks)
    remove_look(outer)
    add_look(outer)
    remove_look(inner)
    remove_look(outer)
    remove_look(outer)
    look_before_opening(object(), "a://")


def test_what_a_look_raises_opening_raises() -> None:
    """So it can forbid a backend."""

    def forbid(opener: object, url: str) -> None:
        raise PermissionError(url)

    add_look(forbid)
    with pytest.raises(PermissionError, match="sqs://"):
        look_before_opening(object(), "sqs://")
