"""A finding says the task, the point, the states, and what to do to see it again."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cloudq.testing.redelivery import Finding, NotIdempotent
from cloudq.testing.redelivery.finding import culprit
from cloudq.testing.redelivery.mail import Event
from cloudq.testing.redelivery.schedule import Take

FINDING = Finding(
    task="shop.charge",
    point='shop.py:12: db.execute("UPDATE ...")',
    fault="crashed",
    events=["shop.charge(order_id=1) is delivered, and crashes", "shop.charge(order_id=1) is delivered again: done"],
    expected=[100],
    state=[100, 100],
    seed=17,
    steps=(Take(message=0, crash_at=3),),
    dead=["shop.mail(to='ada'): no such address"],
)


def test_a_person_can_read_it():
    """All that there is to know, in lines."""
    assert str(FINDING).splitlines() == [
        "shop.charge has another effect if it crashes at this point and is delivered again",
        "",
        '  point:    shop.py:12: db.execute("UPDATE ...")',
        "  expected: [100]",
        "  found:    [100, 100]",
        "  seed:     17",
        "",
        "  the smallest schedule that was found:",
        "  1. shop.charge(order_id=1) is delivered, and crashes",
        "  2. shop.charge(order_id=1) is delivered again: done",
        "",
        "  dead: shop.mail(to='ada'): no such address",
    ]


def test_an_error_of_a_test_is_its_text():
    """An AssertionError, as pytest shows best."""
    error = NotIdempotent(FINDING)
    assert isinstance(error, AssertionError)
    assert (str(FINDING), FINDING) == (str(error), error.finding)


def test_large_states_are_cut():
    """A table of thousands of rows isn't a report."""
    large = replace(FINDING, point=None, expected="x" * 9999, is_steady=False)
    assert len(str(large)) < 1000
    assert "(10,001 characters)" in str(large)
    assert "not at a second try" in str(large)
    assert "point:" not in str(large)


def test_a_long_way_is_cut():
    """A message that fails over and over isn't a page."""
    text = str(replace(FINDING, events=[f"again {number}" for number in range(100)]))
    assert "  20. again 19\n  and 80 more\n" in text


def test_what_happens_over_and_over_is_said_once():
    """A message that waits for another run's claim comes back every few minutes."""
    text = str(replace(FINDING, events=["crashes", *["waits"] * 288, "done"]))
    assert "  1. crashes\n  2. waits (288 times)\n  3. done\n" in text


def test_a_line_of_what_the_task_calls_may_be_a_stand_ins():
    """A fake bank in the task's own file, which a crash of the worker never stops half way: it says how to name it."""
    hint = "services=[...]"
    assert hint not in str(FINDING)
    assert hint in str(replace(FINDING, point="shop.py:5: keys.add(key) (from shop.py:12: bank.charge(key))"))


def event(fault):
    return Event(task=f"task of {fault}", text="", fault=fault)


@pytest.mark.parametrize(
    ("faults", "named"),
    [
        ([None, "duplicate"], "duplicate"),
        (["paused", "concurrent", None], "paused"),
        (["crashed", "duplicate"], "crashed"),
        (["reordered", None, "duplicate"], "duplicate"),
        ([None], None),
    ],
)
def test_the_fault_that_says_most_names_it(faults, named):
    """A crash says more than the second delivery that follows it."""
    assert f"task of {named}" == culprit([event(fault) for fault in faults]).task
