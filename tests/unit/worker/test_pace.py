"""What counts as short: cautious at first, measured then, and not upset by a single long time."""

from __future__ import annotations

from cloudq.worker.pace import MOST_SECONDS, SHORT_SECONDS, Pace


def measured(*seconds: float, waited: float = 0.0) -> Pace:
    pace = Pace()
    for one in seconds:
        pace.note(one, waited)
    return pace


def test_what_was_never_measured_counts_as_long() -> None:
    """And what was measured once or twice, too: eighteen times of next to nothing make it short."""
    assert not Pace().is_short
    assert not measured(*[0.0] * 17).is_short
    assert measured(*[0.0] * 18).is_short


def test_what_owes_a_note_counts_as_short_sooner() -> None:
    """Alone it would wait for a write of its own; what was never measured is long all the same."""
    pace = measured(*[0.0] * 6)
    assert not pace.is_short
    pace.owes = True
    assert pace.is_short
    long = measured(*[0.0] * 5)
    long.owes = True
    assert not long.is_short


def test_what_is_said_to_be_short_is_until_it_was_measured() -> None:
    """A few long times are enough then."""
    pace = Pace(short=True)
    assert pace.is_short
    pace.note(MOST_SECONDS)
    assert not pace.is_short


def test_a_single_long_time_among_short_ones_is_soon_forgotten() -> None:
    """However long it was; where every ninth is long, those that follow one do not count as short for a while."""
    pace = measured(*[0.0] * 100, 3600.0)
    assert not pace.is_short
    for _ in range(3):
        pace.note(0.0)
    assert pace.is_short
    mixed = measured(*([0.0] * 8 + [1.0]) * 20)
    shorts = []
    for _ in range(9):
        mixed.note(0.0)
        shorts.append(mixed.is_short)
    assert not any(shorts[:4])


def test_what_takes_a_millisecond_is_long() -> None:
    """Also where it takes no more than that, and never waits."""
    assert not measured(*[SHORT_SECONDS] * 100).is_short
    assert measured(*[SHORT_SECONDS / 2] * 100).is_short


def test_what_waits_is_long_though_it_takes_little() -> None:
    """Another thread could work in that time: a tenth of a millisecond of waiting is enough."""
    assert not measured(*[SHORT_SECONDS / 2] * 100, waited=SHORT_SECONDS / 5).is_short
    assert measured(*[SHORT_SECONDS / 2] * 100, waited=SHORT_SECONDS / 50).is_short


def test_what_takes_next_to_nothing_is_tiny() -> None:
    """Then it can't have waited for long."""
    assert measured(*[0.0] * 100).is_tiny
    assert not measured(*[SHORT_SECONDS / 5] * 100).is_tiny
