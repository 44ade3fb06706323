"""Where the others run: the versions there, and why one isn't."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.environments import HERE, Missing, versions


def test_versions_are_those_of_the_environment() -> None:
    """Python's, and each package's."""
    assert {"Python", "msgspec"} == set(versions(HERE, "msgspec"))


def test_what_is_not_installed_is_named() -> None:
    """With the Python that lacks it."""
    with pytest.raises(Missing, match=r"^no-such-package-at-all: not installed for Python 3\."):
        versions(HERE, "msgspec", "no-such-package-at-all")


def test_an_environment_that_was_not_made_is_named() -> None:
    """With the package that takes it."""
    with pytest.raises(Missing, match=r"^celery: .* bench-elsewhere"):
        versions(Path("/nowhere/bench-elsewhere/bin/python"), "celery")
