"""Schedules: the same for a seed, one fault at a time first, nothing that isn't wanted."""

from __future__ import annotations

import pytest

from cloudq.testing.redelivery.schedule import ALL_FAULTS, MOST_DELIVERIES, GoOn, Reached, Take, schedule_of

ONCE = [Reached("charge", ["a", "b", "c"]), Reached("charge", ["a", "b", "c"]), Reached("mail", ["x", "y"])]
SEEDS = range(400)


def schedules(faults=ALL_FAULTS, once=ONCE):
    return [schedule_of(seed, once, frozenset(faults)) for seed in SEEDS]


def takes(schedule):
    return [step for step in schedule if isinstance(step, Take)]


def test_a_seed_gives_the_same_schedule():
    """Whatever was drawn before."""
    assert schedules() == schedules()
    assert schedule_of(17, ONCE, ALL_FAULTS) == schedules()[17]


def test_even_seeds_go_through_the_schedules_with_one_fault():
    """Each point of each message crashes, is overtaken, and runs beside another run of the same message."""
    small = set(schedules()[::2])
    for message, reached in enumerate(ONCE):
        for at in range(len(reached.points)):
            stopped = Take(message=message, pause_at=at)
            assert (Take(message=message, crash_at=at),) in small
            assert (stopped, Take(message=message, stale=True), GoOn(message=message)) in small
            assert (stopped, stopped, GoOn(message=message), GoOn(message=message)) in small


def test_the_first_message_of_each_task_comes_first():
    """A hundred messages of one task don't keep the other task waiting."""
    once = [*[Reached("charge", ["a", "b"])] * 100, Reached("mail", ["x"])]
    crashes = [s[0].message for s in schedules({"crashes"}, once)[::2] if len(s) == 1][:3]
    assert [0, 100, 0] == crashes


def test_of_a_point_in_a_loop_the_first_and_the_last_time_are_enough():
    """A loop over a thousand rows isn't a thousand schedules."""
    once = [Reached("t", ["before", *["row"] * 1000, "after"])]
    single = [s[0].crash_at for s in schedules({"crashes"}, once)[::2] if len(s) == 1][:4]
    assert [0, 1, 1000, 1001] == sorted(single)


def test_a_message_is_delivered_one_to_four_times():
    """All of these happen."""
    drawn = schedules()[1::2]
    counts = {sum(take.message == 0 for take in takes(schedule)) for schedule in drawn}
    assert set(range(1, MOST_DELIVERIES + 1)) == counts


@pytest.mark.parametrize(
    ("fault", "shows"),
    [
        ("crashes", lambda s: any(t.crash_at is not None for t in takes(s))),
        ("stale", lambda s: any(t.stale for t in takes(s))),
        ("reorder", lambda s: [t.message for t in takes(s)] != sorted(t.message for t in takes(s))),
        ("duplicates", lambda s: len({t.message for t in takes(s)}) < len(takes(s))),
    ],
)
def test_a_fault_happens_only_if_it_is_wanted(fault, shows):
    """By itself it does, without the others it doesn't."""
    assert any(map(shows, schedules({fault})))
    others = ALL_FAULTS - {fault, "concurrent", "stale"} if fault in {"duplicates", "reorder"} else ALL_FAULTS - {fault}
    assert not any(map(shows, schedules(others)))


def test_nothing_is_paused_without_stale_or_concurrent_runs():
    """Then each run ends before the next one begins."""
    drawn = schedules({"duplicates", "crashes", "reorder"})
    assert not any(take.pause_at is not None for schedule in drawn for take in takes(schedule))


def test_a_run_without_points_is_scheduled_too():
    """A task that a stand-in replaces, say."""
    assert schedules(once=[Reached("t", [])])


def test_any_stretch_of_a_long_task_is_met_early():
    """A window of a tenth of a hundred points, wherever it is, within the first 32 crashes."""
    once = [Reached("t", [str(number) for number in range(100)])]
    crashes = [s[0].crash_at for s in schedules({"crashes"}, once)[::2] if len(s) == 1]
    for begin in range(90):
        assert set(crashes[:32]) & set(range(begin, begin + 10)), begin
    assert set(range(100)) == set(crashes[:100])
