"""Times and lists of values in statements."""

from datetime import timedelta

import pytest

from cloudq.drivers.sqlite import rows


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (timedelta(seconds=2), 2_000_007),
        (timedelta(seconds=-2), 7),
        (timedelta.max, rows.LATEST),
    ],
)
def test_later_is_never_before_now_nor_behind_the_end_of_time(span, expected):
    """A moment that is put off stays one that a datetime can hold."""
    assert expected == rows.later(7, span)


@pytest.mark.parametrize(("count", "marks"), [(1, 1), (2, 2), (3, 4), (5, 8), (512, 512)])
def test_a_list_has_as_many_marks_as_a_power_of_two(count, marks):
    """So that few statements are prepared; the last value is repeated, which changes nothing for IN."""
    sql, values = rows.listed("x IN (*)", list(range(count)))
    assert marks == sql.count("?") == len(values)
    assert [*range(count), *[count - 1] * (marks - count)] == values


def test_portions_hold_all_values_once():
    """In order, none larger than a statement takes."""
    parts = list(rows.portions(range(1300)))
    assert [512, 512, 276] == [len(part) for part in parts]
    assert list(range(1300)) == [value for part in parts for value in part]
    assert [] == list(rows.portions([]))


def test_a_failure_that_cannot_be_read_keeps_no_message():
    """What is kept beside a body is shown as far as it goes."""
    assert rows.kept_failure(None) is None
    assert rows.kept_failure(b"not json").reason
