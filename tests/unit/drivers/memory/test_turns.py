"""Lines that are served in turn."""

from __future__ import annotations

from cloudq.drivers.memory.turns import Turns


def served(turns: Turns[str]) -> str:
    """All that is in them, in the order in which it is served."""
    return "".join(iter(turns.next, None))


def test_one_of_each_key_in_turn() -> None:
    """In each line the first comes first; what has no key has one line of its own."""
    turns: Turns[str] = Turns()
    for key, one in (("a", "1"), ("a", "2"), ("a", "3"), ("b", "x"), (None, "?"), (None, "!")):
        turns.add(key, one)
    assert sorted("123x?!") == sorted(turns)
    assert "1x?2!3" == served(turns)
    assert [] == list(turns)


def test_a_key_that_comes_back_waits_for_the_others() -> None:
    """Its turn is the last, so that it gains nothing by sending one at a time."""
    turns: Turns[str] = Turns()
    for key, one in (("a", "1"), ("b", "x"), ("b", "y")):
        turns.add(key, one)
    assert "1" == turns.next()
    turns.add("a", "2")
    assert "x2y" == served(turns)
