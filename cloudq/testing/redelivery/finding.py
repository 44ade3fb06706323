"""What the tester found: the task, the point, and the smallest schedule after which the state differs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

import msgspec

from cloudq.testing.redelivery.mail import Event
from cloudq.testing.redelivery.schedule import Schedule
from cloudq.testing.redelivery.watched import CALLED_FROM

_LONGEST_STATE: Final = 400
_MOST_EVENTS: Final = 20
_IN_WORDS: Final = {
    "crashed": "crashes at this point and is delivered again",
    "killed": "has its process killed at this point and is delivered again",
    "paused": "is slow at this point, and another run goes on meanwhile",
    "duplicate": "is delivered twice",
    "concurrent": "runs beside another run",
    "stale": "is delivered again when its lease is over",
    "reordered": "is delivered in another order",
}
# Of several faults in the smallest schedule, the one that says most.
_TELLING: Final = ("killed", "crashed", "paused", "stale", "concurrent", "duplicate", "reordered")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule after which the state isn't what it is when everything is delivered once.

    Attributes:
        task: The name of the task.
        point: Where its run crashed, or was paused; `None` where no point matters.
        fault: What happened there: `crashed`, `killed`, `paused`, `stale`, `concurrent`, `duplicate` or `reordered`.
        events: The smallest schedule that was found, a line for each delivery.
        expected: The state when everything is delivered once.
        state: The state after this schedule.
        seed: What finds it again.
        steps: The smallest schedule, for programs.
        is_steady: Whether the schedule had the same effect when it was tried again.
        dead: Messages that ended in the dead-letter queue, with the reasons.
    """

    task: str
    point: str | None
    fault: str
    events: Sequence[str]
    expected: object
    state: object
    seed: int
    steps: Schedule
    is_steady: bool = True
    dead: Sequence[str] = ()

    def __str__(self) -> str:
        """All of it, for a person."""
        events = list(_folded(self.events))
        lines = [f"{self.task} has another effect if it {_IN_WORDS.get(self.fault, self.fault)}", ""]
        if self.point is not None:
            lines += [f"  point:    {self.point}"]
        lines += [
            f"  expected: {_cut(self.expected)}",
            f"  found:    {_cut(self.state)}",
            f"  seed:     {self.seed}" + ("" if self.is_steady else " (not at a second try: it depends on timing)"),
            "",
            "  the smallest schedule that was found:",
            *(f"  {number}. {event}" for number, event in enumerate(events[:_MOST_EVENTS], 1)),
        ]
        if (more := len(events) - _MOST_EVENTS) > 0:
            lines.append(f"  and {more} more")
        if self.point is not None and CALLED_FROM in self.point:
            lines += ["", "  If that line is of a stand-in for a service elsewhere: Check(..., services=[...])"]
        if self.dead:
            lines += ["", *(f"  dead: {dead}" for dead in self.dead)]
        return "\n".join(lines)


class NotIdempotent(AssertionError):
    """A task has another effect if its message is delivered as at-least-once delivery may.

    Attributes:
        finding: What was found.
    """

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


def culprit(events: Sequence[Event]) -> Event:
    """The event that a finding is named after."""
    by_fault = {event.fault: event for event in events}
    return next((by_fault[fault] for fault in _TELLING if fault in by_fault), events[0])


def _folded(events: Sequence[str]) -> Iterator[str]:
    """What happens over and over, once: a message that waits for a day is delivered hundreds of times."""
    for event, same in groupby(events):
        times = len(list(same))
        yield event if times == 1 else f"{event} ({times} times)"


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_STATE else f"{text[:_LONGEST_STATE]}... ({len(text):,} characters)"
