"""Schedules: in which order messages are delivered, how often, and what happens to each run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import zip_longest
from random import Random
from typing import Final, Literal, TypeAlias

import msgspec

Fault: TypeAlias = Literal["duplicates", "crashes", "stale", "concurrent", "reorder"]
"""What at-least-once delivery does.

- `duplicates`: a message is delivered again after its acknowledgement, up to four times in all.
- `crashes`: a run ends at a point, and the message is delivered again.
- `stale`: a run is paused for longer than its lease, another one of the same message ends, and the first goes on.
- `concurrent`: two runs, of one message or of two, go on in turns.
- `reorder`: messages without an ordering key arrive in another order.
"""
ALL_FAULTS: Final[frozenset[Fault]] = frozenset({"duplicates", "crashes", "stale", "concurrent", "reorder"})
MOST_DELIVERIES: Final = 4


class Take(msgspec.Struct, frozen=True, kw_only=True):
    """A message is delivered, and its task runs.

    Attributes:
        message: Its number: first those that were sent to begin with, in order, then those that the tasks sent.
        pause_at: The number of the point at which the run waits for a `GoOn`.
        crash_at: The number of the point at which it ends.
        stale: Whether the leases of all that are under way end before.
    """

    message: int
    pause_at: int | None = None
    crash_at: int | None = None
    stale: bool = False


class Reached(msgspec.Struct, frozen=True):
    """What the run of a message reaches when all are delivered once.

    Attributes:
        task: The task's name.
        points: The names of the points, in order.
    """

    task: str
    points: Sequence[str]


class GoOn(msgspec.Struct, frozen=True, kw_only=True):
    """The oldest paused run of a message goes on to its end."""

    message: int


Step: TypeAlias = Take | GoOn
Schedule: TypeAlias = tuple[Step, ...]
"""What happens; then all that is paused goes on, and what isn't done is delivered until it is."""


def schedule_of(seed: int, once: Sequence[Reached], faults: AbstractSet[Fault]) -> Schedule:
    """The schedule of a seed: the same for the same points. Even seeds go through the small ones, others are drawn.

    Args:
        seed: From 0.
        once: What the run of each message reaches when all are delivered once.
        faults: What may happen.
    """
    small = _small(once, faults)
    number, is_odd = divmod(seed, 2)
    return small[number] if not is_odd and number < len(small) else _drawn(Random(seed), once, faults)  # noqa: S311 - no secret


def _small(once: Sequence[Reached], faults: AbstractSet[Fault]) -> list[Schedule]:
    """One fault each: those that find most come first, and the kinds take turns."""
    count = len(once)
    kinds: list[list[Schedule]] = []
    if "duplicates" in faults:
        kinds.append([(Take(message=i), Take(message=i)) for i in range(count)])
    where = list(_where(once))
    if "crashes" in faults:
        kinds.append([(Take(message=i, crash_at=at),) for i, at in where])
    if "concurrent" in faults:
        kinds.append(
            [
                (Take(message=i, pause_at=at), Take(message=i, pause_at=at), GoOn(message=i), GoOn(message=i))
                for i, at in where
            ]
        )
        kinds.append(
            [(Take(message=i, pause_at=at), Take(message=(i + 1) % count)) for i, at in where] if count > 1 else []
        )
    if "stale" in faults:
        kinds.append([(Take(message=i, pause_at=at), Take(message=i, stale=True), GoOn(message=i)) for i, at in where])
    if "reorder" in faults and count > 1:
        kinds.append([tuple(Take(message=i) for i in reversed(range(count)))])
    return [schedule for turn in zip_longest(*kinds) for schedule in turn if schedule is not None]


def _where(once: Sequence[Reached]) -> Iterator[tuple[int, int]]:
    """Message and number of each point: the first message of each task, then the others, which take the same way.

    Messages take turns. Of a point that comes often, the first and the last time.
    """
    first_of: dict[str, int] = {}
    for message, reached in enumerate(once):
        first_of.setdefault(reached.task, message)
    for messages in (list(first_of.values()), sorted(set(range(len(once))) - set(first_of.values()))):
        for turn in zip_longest(*(_ends(once[message].points) for message in messages)):
            yield from ((m, number) for m, number in zip(messages, turn, strict=True) if number is not None)


def _ends(points: Sequence[str]) -> list[int]:
    last = {name: number for number, name in enumerate(points)}
    first = {name: number for number, name in reversed(list(enumerate(points)))}
    return _spread(sorted({*first.values(), *last.values()}))


def _spread(numbers: list[int]) -> list[int]:
    """The first one, one in the middle, those between: any stretch of a long task is met early."""
    bits = max(1, (len(numbers) - 1).bit_length())
    order = sorted(range(len(numbers)), key=lambda index: int(f"{index:0{bits}b}"[::-1], 2))
    return [numbers[index] for index in order]


def _drawn(random: Random, once: Sequence[Reached], faults: AbstractSet[Fault]) -> Schedule:
    """Several faults at once."""
    most = MOST_DELIVERIES if "duplicates" in faults else 1
    takes = [
        _drawn_take(random, message, len(reached.points), faults)
        for message, reached in enumerate(once)
        for _ in range(random.randint(1, most))
    ]
    if "reorder" in faults:
        random.shuffle(takes)
    steps: list[Step] = []
    for take in takes:
        steps.append(take)
        paused = [step.message for step in steps if isinstance(step, Take) and step.pause_at is not None]
        if paused and random.random() < 0.3:
            steps.append(GoOn(message=random.choice(paused)))
    return tuple(steps)


def _drawn_take(random: Random, message: int, count: int, faults: AbstractSet[Fault]) -> Take:
    kinds: list[Fault | None] = [None]
    kinds += [fault for fault in ("crashes", "stale", "concurrent") if fault in faults]
    kind = random.choice(kinds)
    at = random.randrange(max(1, count))
    return Take(
        message=message,
        crash_at=at if kind == "crashes" else None,
        pause_at=at if kind in {"stale", "concurrent"} else None,
        stale="stale" in faults and random.random() < 0.3,
    )
