"""The tables of an app's arguments and methods, held to Celery's own."""

from __future__ import annotations

import celery
import pytest

from cloudq.compat.celery import Celery
from cloudq.compat.celery.app_options import APP_METHODS, APP_OPTIONS
from cloudq.compat.celery.verdicts import Verdict
from tests.unit.compat.celery.reading import named, public


def test_each_argument_of_an_app_is_in_the_table() -> None:
    """Whatever is new in a release of Celery's fails here, and gets its place."""
    assert set() == named(celery.Celery.__init__) - {"kwargs"} - set(APP_OPTIONS)


def test_each_method_of_an_app_is_in_the_table() -> None:
    """And each attribute that it has at its class."""
    assert set() == public(celery.Celery) - set(APP_METHODS)


@pytest.mark.parametrize("name", sorted(n for n, e in APP_METHODS.items() if e.verdict is not Verdict.REFUSED))
def test_what_maps_is_there(app, name) -> None:
    """On our app."""
    assert hasattr(app, name)


@pytest.mark.parametrize("name", sorted(n for n, e in APP_METHODS.items() if e.verdict is Verdict.REFUSED))
def test_what_is_refused_says_what_to_do(name) -> None:
    """By an AttributeError, so that `hasattr` tells the truth."""
    with pytest.raises(AttributeError, match="hint: "):
        getattr(Celery("proj", broker="memory://"), name)
