"""Makes a schedule smaller for as long as it still does what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from cloudq.testing.redelivery.schedule import GoOn, Schedule, Take


def shrunk(schedule: Schedule, fails: Callable[[Schedule], bool], *, is_late: Callable[[], bool]) -> Schedule:
    """The smallest schedule on the way from this one, by leaving out steps and faults one at a time.

    Args:
        schedule: One that fails.
        fails: Whether another one does.
        is_late: Whether it is time to be content with what there is.
    """
    while True:
        for smaller in _smaller(schedule):
            if is_late():
                return schedule
            if fails(smaller):
                schedule = smaller
                break
        else:
            return schedule


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    """Each schedule that is smaller by one thing, the largest cut first."""
    half = len(schedule) // 2
    if half > 1:
        yield schedule[half:]
        yield schedule[:half]
    for number in reversed(range(len(schedule))):
        yield (*schedule[:number], *schedule[number + 1 :])
    for number, step in enumerate(schedule):
        if not isinstance(step, Take):
            continue
        if step.pause_at is not None:
            yield from _without_pause(schedule, number, step)
        for plainer in _plainer(step):
            yield (*schedule[:number], plainer, *schedule[number + 1 :])


def _without_pause(schedule: Schedule, number: int, take: Take) -> Iterator[Schedule]:
    """A crash in place of the pause, as that takes one run less to explain; or the whole run where it would go on."""
    yield (*schedule[:number], replace(take, pause_at=None, crash_at=take.pause_at), *schedule[number + 1 :])
    goes_on = GoOn(message=take.message)
    at = schedule.index(goes_on, number) if goes_on in schedule[number:] else len(schedule)
    yield (*schedule[:number], *schedule[number + 1 : at], replace(take, pause_at=None), *schedule[at + 1 :])


def _plainer(step: Take) -> Iterator[Take]:
    """The same with one thing less, or at an earlier point: the first one after an effect says most about it."""
    if step.stale:
        yield replace(step, stale=False)
    if step.pause_at is not None:
        yield replace(step, pause_at=None)
        yield from (replace(step, pause_at=at) for at in _earlier(step.pause_at))
    if step.crash_at is not None:
        yield replace(step, crash_at=None)
        yield from (replace(step, crash_at=at) for at in _earlier(step.crash_at))


def _earlier(point: int) -> list[int]:
    return sorted({point // 2, point - 1} - {point, -1})
