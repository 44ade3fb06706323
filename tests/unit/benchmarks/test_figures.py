"""What measurements come to: ratios of the same turn, percentiles, and how they are printed."""

from __future__ import annotations

import pytest

from tests.benchmarks.figures import percentile, ratio, shown


def test_a_ratio_is_the_median_of_those_of_the_same_turn() -> None:
    """A turn in which the machine was slow for both doesn't count more than another."""
    assert 0.5 == ratio([1, 10, 3], [2, 20, 1])
    with pytest.raises(ValueError, match="zip"):
        ratio([1, 2], [1])


def test_a_percentile_is_one_of_the_values() -> None:
    """The value below which the share lies; the largest for all of them."""
    values = [float(n) for n in range(100, 0, -1)]
    assert [1, 51, 100, 100] == [percentile(values, share) for share in (0, 0.5, 0.99, 1)]


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.0123"), (1.5, "1.5"), (99.94, "99.9"), (1234.5, "1,234"), (-150, "-150")]
)
def test_a_figure_has_three_digits_or_is_whole(value: float, text: str) -> None:
    """No digits that weren't measured."""
    assert text == shown(value)
