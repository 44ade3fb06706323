"""Which dead letters a command is about, and how fast."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cloudq.cli.dlq.chosen import choice, rate_of, tell_hidden
from cloudq.errors import ConfigurationError, OptionError

NOW = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "rate"), [("50/s", 50), ("90/m", 1.5), ("36/h", 0.01), ("7", 7), ("0.5", 0.5), (None, None)]
)
def test_a_rate(text: str | None, rate: float | None) -> None:
    """A second, a minute, an hour; a bare number is a second's."""
    assert rate == rate_of(text)


@pytest.mark.parametrize("text", ["", "fast", "0", "-1/s", "1/d", "1/", "nan", "inf", "1/s/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(OptionError, match="--rate") as raised:
        rate_of(text)
    assert "--rate 50/s" in (raised.value.hint or "")


def test_of_a_very_long_rate_the_beginning_is_shown() -> None:
    """It may be a file's content by mistake."""
    with pytest.raises(OptionError) as raised:
        rate_of("x" * 10_000)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("keys", "where", "every"), [(None, None, False), (["1"], None, True), (["1"], "id=1", False), (None, "id=1", True)]
)
def test_one_way_says_what_is_meant(keys: list[str] | None, where: str | None, every: bool) -> None:
    """None, or two of them, is refused."""
    with pytest.raises(ConfigurationError, match="KEYs, --where or --all"):
        choice(keys, where, every=every, now=NOW)


def test_an_empty_condition_is_not_all_by_mistake() -> None:
    """`--where "$UNSET"` would mean everything: it is a condition all the same, and counts as said."""
    assert choice(None, "id=1", every=False, now=NOW).where is not None
    with pytest.raises(OptionError, match="empty"):
        choice(None, " ", every=False, now=NOW)


def test_a_key_that_is_named_twice_is_one() -> None:
    """In the order in which they were named."""
    assert ["2", "1"] == choice(["2", "1", "2"], None, every=False, now=NOW).keys


def test_where_to_look_is_to_hide_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """With for how long; elsewhere nothing is said."""

    class Letters:
        hides_for: timedelta | None = None

    tell_hidden(Letters())  # type: ignore[arg-type]
    assert ("", "") == capsys.readouterr()
    Letters.hides_for = timedelta(minutes=1)
    tell_hidden(Letters())  # type: ignore[arg-type]
    assert "only by hiding them from others" in (said := capsys.readouterr().err)
    assert "after 1 min" in said
