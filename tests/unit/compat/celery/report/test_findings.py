"""One thing that a program asks of Celery, with what becomes of it."""

from __future__ import annotations

from cloudq.compat.celery.report.findings import UNKNOWN, Finding, counted, found, judged, together
from cloudq.compat.celery.verdicts import Verdict, changes, maps, refused

TABLE = {"a": maps("ours"), "b": changes("other"), "c": refused("do without", True)}


def test_a_table_judges_an_option_and_its_value() -> None:
    """A refused one that asks for what is done anyway maps; one whose value isn't known doesn't."""
    assert [Verdict.MAPS, Verdict.CHANGES, Verdict.MAPS, Verdict.REFUSED, Verdict.REFUSED, Verdict.REFUSED] == [
        judged("call", TABLE, name, value, "f:1").verdict
        for name, value in (("a", 1), ("b", 1), ("c", True), ("c", False), ("c", UNKNOWN), ("d", 1))
    ]
    assert "it asks for what is done anyway" == judged("call", TABLE, "c", True, "f:1").ours


def test_the_same_things_stand_together() -> None:
    """With all of their places, each once; what has no counterpart first."""
    one = found("canvas", "chain", refused("no"), "a.py:1")
    two = found("canvas", "chain", refused("no"), "b.py:2")
    easy = found("call", "a", maps("yes"), "a.py:1")
    assert [("chain", ("a.py:1", "b.py:2")), ("a", ("a.py:1",))] == [
        (each.name, each.places) for each in together([easy, one, two, one])
    ]
    assert {Verdict.MAPS: 1, Verdict.CHANGES: 0, Verdict.REFUSED: 2} == counted([easy, one, two])
    assert isinstance(one, Finding)
