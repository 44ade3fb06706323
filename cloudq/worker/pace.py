"""`Pace`: how long something takes here, as measured lately: the runs of a task, or the settlements of a queue."""

from __future__ import annotations

from typing import Final

# What takes less is not worth another thread: waking one costs a tenth of it.
SHORT_SECONDS: Final = 0.001
# As much as a write that is flushed to a disk: what a task that owes a note would wait for, if it weren't in a series.
SHORT_SECONDS_OWING: Final = 5 * SHORT_SECONDS
# One time counts as this at most, so that a single long one among many short ones is soon forgotten.
MOST_SECONDS: Final = 10 * SHORT_SECONDS
# Waiting (for a database, say) is what another thread could use. So a tenth of a short time is long.
WAITING_COUNTS: Final = 10
# The share of the latest time in the mean.
WEIGHT: Final = 0.125


class Pace:
    """A moving mean. Several threads may note at once: one of two times may be lost, which does no harm.

    Args:
        short: Whether it counts as short until it was measured; if not, it takes eighteen times of next to nothing.

    Attributes:
        owes: Whether the latest run owes a note, which is written before its message is acknowledged.
    """

    __slots__ = ("_mean", "owes")

    def __init__(self, *, short: bool = False) -> None:
        self._mean = 0.0 if short else MOST_SECONDS
        self.owes = False

    @property
    def is_short(self) -> bool:
        """Whether it takes less than a millisecond, and hardly waits; less than five, where it owes a note.

        Alone, each of these would wait for a write of its own, one after the other.
        """
        return self._mean < (SHORT_SECONDS_OWING if self.owes else SHORT_SECONDS)

    @property
    def is_tiny(self) -> bool:
        """Whether it takes little enough that it can't wait for long, so that its waiting needn't be measured."""
        return self._mean < SHORT_SECONDS / WAITING_COUNTS

    def note(self, seconds: float, waited: float = 0.0) -> None:
        """Notes one.

        Args:
            seconds: How long it took.
            waited: For how much of that it did nothing.
        """
        time = min(MOST_SECONDS, max(seconds, WAITING_COUNTS * waited))
        self._mean += WEIGHT * (time - self._mean)
