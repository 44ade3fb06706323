"""The conformance kit's own shape: every behaviour is there once, and says in a sentence what it is."""

from __future__ import annotations

from collections import Counter

import pytest

from cloudq.testing.conformance import DriverConformance, PushConformance
from cloudq.testing.conformance.suite import behaviours


def test_no_behaviour_hides_another() -> None:
    """No two topics have a behaviour of the same name, of which only one would be run."""
    names = Counter(name for kind in PushConformance.__mro__ for name in vars(kind) if name.startswith("test_"))
    assert [name for name, count in names.items() if count > 1] == []
    assert sorted(names) == sorted(behaviours())


def test_there_are_as_many_behaviours_as_the_contract_needs() -> None:
    """The kit doesn't shrink unnoticed."""
    assert len(behaviours()) >= 140


@pytest.mark.parametrize("name", behaviours())
def test_a_behaviour_is_stated_in_a_sentence(name: str) -> None:
    """Each behaviour has a docstring of one line, a sentence."""
    doc = getattr(PushConformance, name).__doc__ or ""
    assert len(doc) > 20
    assert doc.endswith(".")
    assert "\n" not in doc


def test_a_suite_without_a_harness_says_what_to_do() -> None:
    """A subclass that forgot the fixture is told so."""
    fixture = DriverConformance.harness
    with pytest.raises(NotImplementedError, match="gives a fixture named harness"):
        getattr(fixture, "__wrapped__", None)(DriverConformance())
