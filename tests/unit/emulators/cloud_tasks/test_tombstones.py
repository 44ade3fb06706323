"""Names that stay taken. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cloudq.emulators.cloud_tasks.tombstones import MOST_RANDOM, Tombstones

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_name_is_taken_for_as_long_as_was_said():
    """And no longer; used anew, it begins anew."""
    names = Tombstones(HOUR)
    names.add("a", NOW)
    assert names.has("a", NOW + HOUR - timedelta(seconds=1))
    assert not names.has("a", NOW + HOUR)
    assert not names.has("b", NOW)
    names.add("a", NOW + HOUR)
    assert names.has("a", NOW + HOUR * 1.5)


def test_old_names_take_no_memory():
    """What is over is forgotten; of names that the emulator chose itself, so is what there is too much of."""
    names = Tombstones(HOUR)
    for number in range(1_000):
        names.add(f"{number}", NOW + number * HOUR)
    assert len(names) == 1
    for number in range(MOST_RANDOM + 500):
        names.add(f"random-{number}", NOW + 2_000 * HOUR, random=True)
    assert len(names) <= MOST_RANDOM + 1
    assert names.has(f"random-{MOST_RANDOM}", NOW + 2_000 * HOUR)
