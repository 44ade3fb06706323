"""What becomes of an option."""

from __future__ import annotations

import pytest

from cloudq.compat.celery.verdicts import changes, check, each, maps, refused
from cloudq.errors import OptionError
from tests import celery_options

TABLE = {"a": maps("a"), "b": changes("b"), "c": refused("do without", True, ("json",)), **each(maps("x"), "d", "e")}


@pytest.mark.parametrize("options", [{"a": 1}, {"b": object()}, {"c": None}, {"c": True}, {"c": ["json"]}, {"e": 0}])
def test_what_can_be_honoured_is_taken(options) -> None:
    """And so is a refused option that asks for what is done anyway, or for nothing."""
    check(TABLE, options, OptionError, "here")


@pytest.mark.parametrize("value", [False, 1, "json", ["json", "pickle"], {}])
def test_what_cant_be_honoured_is_refused_by_its_name(value) -> None:
    """With what to do instead, and without the value, which may be a password."""
    with pytest.raises(OptionError, match="here: Celery's option 'c' can't be honoured; hint: do without") as caught:
        check(TABLE, {"a": 1, "c": value}, OptionError, "here")
    assert "pickle" not in str(caught.value)


def test_an_option_that_celery_hasnt_names_the_nearest() -> None:
    """A slip must not pass for an option that has no effect."""
    with pytest.raises(OptionError, match="here: Celery has no option 'bb'"):
        check(TABLE, {"bb": 1}, OptionError, "here")


def test_the_page_of_options_is_current() -> None:
    """`python -m tests.option_pages --write` writes it from the tables."""
    assert celery_options.page() == celery_options.PAGE.read_text(encoding="utf-8")
