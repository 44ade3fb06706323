"""What a caller sees of a row at a moment."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import timedelta

import pytest

from cloudq.core.claim_life import Seen
from cloudq.sqlite_file.boot import Moment
from cloudq.stores.sqlite.rows import Boots, Row, kept_for

NOW = Moment(wall=1_000, mark=5_000, elapsed=timedelta(0), boot=1)
HELD = Row(7, "me", 1, 0, 5_010, 0, 5_100, None, None, None)
FOREIGN = HELD._replace(boot=2, held_wall=1_010, held_mark=0, kept_wall=1_100, kept_mark=0)


@pytest.fixture
def cursor() -> Iterator[sqlite3.Cursor]:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE store_boot(number, name)")
    connection.executemany("INSERT INTO store_boot VALUES (?, ?)", [(1, "now/"), (2, "own:box/"), (3, "before/")])
    yield connection.cursor()
    connection.close()


@pytest.mark.parametrize(
    ("row", "who", "seen"),
    [
        (None, {}, Seen.NOTHING),
        (HELD, {}, Seen.HELD),
        (HELD, {"token": 7}, Seen.OWN),
        (HELD, {"owner": "me"}, Seen.OWN),
        (HELD, {"owner": "other", "token": 6}, Seen.HELD),
        (HELD._replace(held_mark=5_000), {}, Seen.LAPSED),
        (HELD._replace(held_mark=5_000), {"token": 7}, Seen.OWN),
        (HELD._replace(kept_mark=5_000), {"token": 7}, Seen.NOTHING),
        (HELD._replace(held_wall=None, held_mark=None, owner=""), {"owner": ""}, Seen.RELEASED),
        (HELD._replace(held_wall=None, held_mark=None, owner=""), {"token": 7}, Seen.OWN_RELEASED),
        (HELD._replace(held_wall=None, held_mark=None, completed_at=3), {}, Seen.COMPLETED),
        (HELD._replace(held_wall=None, held_mark=None, completed_at=3), {"token": 7}, Seen.OWN_COMPLETED),
        (FOREIGN, {}, Seen.HELD),
        (FOREIGN._replace(held_wall=1_000), {}, Seen.LAPSED),
        (FOREIGN._replace(kept_wall=1_000), {}, Seen.NOTHING),
        (FOREIGN._replace(boot=3), {}, Seen.LAPSED),
        (FOREIGN._replace(boot=3), {"token": 7}, Seen.OWN),
        (FOREIGN._replace(boot=0), {}, Seen.HELD),
        (FOREIGN._replace(boot=99), {}, Seen.HELD),
    ],
)
def test_what_is_seen(cursor: sqlite3.Cursor, row: Row | None, who: dict[str, object], seen: Seen) -> None:
    """By this boot's clock, by the wall clock for another one's, and not at all for one that is over."""
    assert Boots("now/").seen(cursor, row, NOW, **who) is seen  # type: ignore[arg-type]


def test_where_the_system_names_no_boot_all_goes_by_the_wall_clock(cursor: sqlite3.Cursor) -> None:
    """No boot is known to be over then."""
    assert Boots(None).seen(cursor, FOREIGN._replace(boot=3), NOW) is Seen.HELD


def test_for_how_long_a_row_is_kept() -> None:
    """By the clock that it goes by."""
    assert (kept_for(HELD, NOW), kept_for(FOREIGN, NOW)) == (100, 100)
