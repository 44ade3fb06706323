"""Things and their times. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cloudq.emulators.cloud_tasks.schedule import Schedule

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: int) -> datetime:
    return NOW + timedelta(seconds=seconds)


def drained(schedule: Schedule[str], now: datetime) -> list[str]:
    found = []
    while (item := schedule.pop_due(now)) is not None:
        found.append(item)
    return found


def test_by_time_then_by_order():
    """What is due comes out by its time; of one moment, by the order in which it was put in."""
    schedule: Schedule[str] = Schedule()
    for name, seconds in (("b", 2), ("a", 1), ("c", 2), ("later", 9)):
        schedule.put(name, at(seconds))
    assert ["a", "b", "c"] == drained(schedule, at(2))
    assert schedule.next_at() == at(9)
    assert len(schedule) == 1


def test_put_again_it_has_its_new_time_only():
    """A thing is due once."""
    schedule: Schedule[str] = Schedule()
    schedule.put("a", at(1))
    schedule.put("a", at(5))
    assert [] == drained(schedule, at(4))
    assert ["a"] == drained(schedule, at(9))
    assert schedule.next_at() is None


def test_what_is_discarded_doesnt_pile_up():
    """Things discarded long before their time take no memory."""
    schedule: Schedule[int] = Schedule()
    for number in range(10_000):
        schedule.put(number, at(100_000))
        schedule.discard(number)
    assert len(schedule._heap) < 200


@given(st.lists(st.tuples(st.sampled_from(["put", "discard", "pop"]), st.integers(0, 9), st.integers(0, 20))))
def test_it_agrees_with_a_plain_dict(steps):
    """Whatever is done in whatever order, the first thing due is that of a dictionary of times."""
    schedule: Schedule[int] = Schedule()
    times: dict[int, tuple[int, int]] = {}
    for count, (step, item, seconds) in enumerate(steps):
        if step == "put":
            schedule.put(item, at(seconds))
            times[item] = (seconds, count)
        elif step == "discard":
            schedule.discard(item)
            times.pop(item, None)
        else:
            due = (
                min((when, key) for key, when in times.items() if when[0] <= seconds)
                if times and min(times.values())[0] <= seconds
                else None
            )
            assert schedule.pop_due(at(seconds)) == (None if due is None else due[1])
            if due is not None:
                del times[due[1]]
        assert len(schedule) == len(times)
        assert all((key in schedule) == (key in times) for key in range(10))
