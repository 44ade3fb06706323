"""Whose file it is, and how an older one becomes a newer one."""

import sqlite3
from datetime import timedelta

import pytest

from cloudq.core.clock import to_micros
from cloudq.core.driver import Ack, NativeDeadLetter
from cloudq.core.failure import Failure
from cloudq.drivers.sqlite import inspecting, leasing, schema
from cloudq.drivers.sqlite.cancelling import receipt_of
from cloudq.errors import SchemaMismatch, StorageCorrupt
from cloudq.sqlite_file.tables import APPLICATION_ID

SECOND = timedelta(seconds=1)
FAILURE = Failure(reason="it broke", attempts=1)


def test_a_new_file_has_the_newest_version(bench, driver):
    """A file that is created carries our application id and the newest schema version."""
    assert [(APPLICATION_ID,)] == bench.query("PRAGMA application_id")
    assert [(len(schema.MIGRATIONS),)] == bench.query("PRAGMA user_version")


def test_an_empty_file_becomes_a_database(bench):
    """A file of no bytes is treated as none."""
    bench.path.touch()
    driver = bench.open()
    bench.send(driver, "a")
    assert ["a"] == [one.id for one in bench.receive(driver)]


def test_what_was_stored_is_there_after_reopening(bench):
    """Closing and opening again loses nothing."""
    first = bench.open()
    bench.send(first, "a", "b")
    first.close()
    assert ["a", "b"] == [one.id for one in bench.receive(bench.open())]


def test_another_programs_database_is_refused_and_left_alone(bench):
    """A database with tables of its own is a SchemaMismatch with a hint, and not a byte of it changes."""
    connection = sqlite3.connect(bench.path)
    connection.execute("CREATE TABLE customer(name)")
    connection.close()
    before = bench.path.read_bytes()
    with pytest.raises(SchemaMismatch, match="another program") as raised:
        bench.open()
    assert "choose another file" in raised.value.hint
    assert before == bench.path.read_bytes()


def test_a_database_of_a_newer_cloudq_is_refused_and_left_alone(bench):
    """A schema version that this code doesn't know is a SchemaMismatch naming both, and nothing changes."""
    bench.open().close()
    connection = sqlite3.connect(bench.path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    before = bench.path.read_bytes()
    with pytest.raises(SchemaMismatch, match=f"version 99; this cloudq knows versions up to {len(schema.MIGRATIONS)}"):
        bench.open()
    assert before == bench.path.read_bytes()


@pytest.mark.parametrize("garbage", [b"x", b"x" * 511, b"not a database\n" * 1000], ids=["byte", "fragment", "long"])
def test_a_file_that_is_no_database_is_refused_and_left_alone(bench, garbage):
    """Any other file is StorageCorrupt, and not a byte of it changes."""
    bench.path.write_bytes(garbage)
    with pytest.raises(StorageCorrupt, match="isn't an intact cloudq database"):
        bench.open()
    assert garbage == bench.path.read_bytes()


def test_an_older_version_is_migrated_with_its_rows(bench, monkeypatch):
    """A file of version n gets the migrations behind n, in order, and keeps its messages."""
    bench.send(old := bench.open(), "kept")
    old.close()
    more = ("ALTER TABLE message ADD COLUMN note TEXT", "UPDATE message SET note = 'migrated'")
    newer = (*schema.MIGRATIONS, more)
    connection = sqlite3.connect(bench.path, isolation_level=None)
    schema.check(connection, bench.path, known=len(newer))
    connection.execute("BEGIN IMMEDIATE")
    schema.migrate(connection, newer)
    connection.execute("COMMIT")
    assert [("kept", "migrated")] == connection.execute("SELECT id, note FROM message").fetchall()
    assert [(len(newer),)] == connection.execute("PRAGMA user_version").fetchall()
    connection.close()


def test_leases_of_version_1_last_until_their_end(bench):
    """A file of the first version is opened with all it has; what was under a lease stays so, by the wall clock."""
    connection = sqlite3.connect(bench.path, isolation_level=None)
    connection.execute("BEGIN")
    schema.migrate(connection, schema.MIGRATIONS[:1])
    now = to_micros(bench.clock.now())
    row = "(?, 'q', ?, ?, ?, ?, ?, 1, 1, ?, NULL, x'00')"
    for number, id_, receipt, until in [(1, "held", 1, now + 60_000_000), (2, "over", 1, now), (3, "free", None, now)]:
        values = (number, id_, None, now, until, receipt, now)
        connection.execute(f"INSERT INTO message VALUES {row}", values)  # noqa: S608 - a constant
    connection.execute(f"INSERT INTO dead VALUES {row}", (1, "dead", None, now, now + 60_000_000, 1, now))  # noqa: S608
    connection.execute("INSERT INTO dedup VALUES ('q', 'native', 'free', ?)", (now + 60_000_000,))
    connection.execute("DELETE FROM message WHERE seq = 3")
    connection.execute("COMMIT")
    connection.close()
    driver = bench.open()
    assert ["over"] == [one.id for one in bench.receive(driver)]
    assert 2 == driver.stats("q").in_flight
    assert [] == list(driver.dead_letters("q").take(None, limit=1, lease=SECOND))
    assert [True] == [result.duplicate for result in driver.send([bench.item("again", native_id="native")])]
    bench.clock.advance(60 * SECOND)
    assert ["held", "over"] == sorted(one.id for one in bench.receive(driver))
    assert ["dead"] == [one.id for one in driver.dead_letters("q").take(None, limit=1, lease=SECOND)]
    bench.send(driver, "new")
    assert [(4,)] == bench.query("SELECT max(seq) FROM message")


def test_a_process_of_the_older_version_that_still_runs_changes_nothing(bench, driver):
    """Its statements name a column that isn't there any more: it fails, instead of giving leases by another clock."""
    connection = sqlite3.connect(bench.path)
    with pytest.raises(sqlite3.OperationalError, match="receipt"):
        connection.execute("UPDATE message SET receipt = 1")
    connection.close()


def test_what_is_asked_often_is_answered_by_an_index_alone(bench, driver):
    """Neither a look nor stats reads the rows, whose bodies may be large."""
    named = dict.fromkeys(("queue", "boot", "axis", "wall", "mark", "undelayed"), 1)
    looks = [(leasing._LOOK, [1, 1, 1, 1]), (leasing._LOOK_AT_RARE, [named]), (inspecting._STATS, [named])]
    for sql, values in looks:
        plan = [detail for *_, detail in bench.query(f"EXPLAIN QUERY PLAN {sql}", *values)]
        searches = {step for step in plan if step.startswith(("SEARCH message", "SCAN message"))}
        # Leases of other boots, and what waits behind earlier ones of its key, are looked up in their rows.
        rows = {step for step in searches if "COVERING" not in step and "visible_at" not in step}
        assert (set(), True) == (rows, bool(searches))


def test_a_migration_that_fails_changes_nothing(bench):
    """All migrations are one transaction: if the second fails, the first didn't happen, nor did the version."""
    bench.open().close()
    connection = sqlite3.connect(bench.path, isolation_level=None)
    newer = (*schema.MIGRATIONS, ("ALTER TABLE message ADD COLUMN note TEXT",), ("UPDATE missing SET x = 1",))
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError, match="missing"):
        schema.migrate(connection, newer)
    connection.execute("ROLLBACK")
    columns = [row[1] for row in connection.execute("PRAGMA table_info(message)")]
    assert "note" not in columns
    assert [(len(schema.MIGRATIONS),)] == connection.execute("PRAGMA user_version").fetchall()
    connection.close()


# ── numbers are used once ────────────────────────────────────────────────────────────────────────────────


def file_of_version_2(bench, *, rows):
    """A connection to it, as a program of that version has one. Two messages more were sent, and are gone."""
    connection = sqlite3.connect(bench.path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN")
    schema.migrate(connection, schema.MIGRATIONS[:2])
    now = to_micros(bench.clock.now())
    for number in range(rows + 2):
        insert_as_version_2(connection, f"m{number}", now)
    connection.execute("DELETE FROM message WHERE seq > ?", (rows,))
    connection.execute("COMMIT")
    return connection


def insert_as_version_2(connection, id_, now):
    values = ("q", id_, None, now, None, b"body of " + id_.encode() + b"." * 500, now, now, 0)
    connection.execute(
        "INSERT INTO message(queue, id, group_key, due_at, failure, body, first_received_at, visible_at, boot) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    )


def numbers(bench):
    return [seq for (seq,) in bench.query("SELECT seq FROM message ORDER BY seq")]


@pytest.mark.parametrize("rows", [0, 3, 20_000])
def test_a_file_of_version_2_goes_on_counting_where_it_was(bench, rows):
    """Also behind numbers whose messages are gone. Nothing is copied: a large file is as soon open as a small one."""
    file_of_version_2(bench, rows=rows).close()
    [(before,)] = bench.query("PRAGMA page_count")
    driver = bench.open()
    [(after,)] = bench.query("PRAGMA page_count")
    assert [(len(schema.MIGRATIONS),)] == bench.query("PRAGMA user_version")
    assert after <= before + 3  # what later versions add: an index, and a table of pauses
    assert [("ok",)] == bench.query("PRAGMA integrity_check")
    bench.send(driver, "new", "newer")
    assert [*range(1, rows + 1), rows + 3, rows + 4] == numbers(bench)
    bodies = bench.query("SELECT id, substr(body, 1, 20) FROM message ORDER BY seq LIMIT ?", rows)
    assert all(body.startswith(b"body of " + id_.encode()) for id_, body in bodies)
    assert rows == len(bodies)


def test_a_process_of_version_2_that_still_runs_uses_no_number_twice_either(bench):
    """It inserts without regard to what was noted. In its file AUTOINCREMENT stays, and sees to that."""
    older = file_of_version_2(bench, rows=1)
    driver = bench.open()
    used = []
    for step in range(3):
        bench.send(driver, f"new{step}")
        used.append(numbers(bench)[-1])
        assert 2 == driver.purge("q")
        insert_as_version_2(older, f"old{step}", to_micros(bench.clock.now()))
        used.append(numbers(bench)[-1])
    older.close()
    assert [4, 5, 6, 7, 8, 9] == used


def test_a_program_of_version_2_refuses_a_newer_file(bench, driver):
    """It would use numbers twice: a new file has no AUTOINCREMENT."""
    connection = sqlite3.connect(bench.path)
    with pytest.raises(SchemaMismatch, match=f"version {len(schema.MIGRATIONS)}; this cloudq knows versions up to 2"):
        schema.check(connection, bench.path, known=2)
    connection.close()


def by_hand(bench, driver):
    connection = sqlite3.connect(bench.path)
    with connection:
        connection.execute("DELETE FROM message")
    connection.close()


ENDS = {
    "acked": lambda bench, driver: bench.settle(driver, Ack(), *bench.receive(driver)),
    "dead": lambda bench, driver: bench.settle(driver, NativeDeadLetter(failure=FAILURE), *bench.receive(driver)),
    "cancelled": lambda _, driver: [driver.cancel("q", receipt_of(seq, f"m{seq}")) for seq in (3, 2, 1)],
    "purged": lambda _, driver: driver.purge("q"),
    "by hand": by_hand,
}


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("end", ENDS.values(), ids=list(ENDS))
def test_the_number_of_a_message_that_is_gone_is_not_used_again(bench, driver, end, size):
    """However it went, and if none is left; also by another process, and after the file was closed."""
    bench.send(driver, "m1", "m2", "m3")
    end(bench, driver)
    assert [] == numbers(bench)
    bench.send(driver, *"abc"[:size])
    assert list(range(4, 4 + size)) == numbers(bench)
    driver.purge("q")
    driver.close()
    bench.send(bench.open(), "b")
    assert [4 + size] == numbers(bench)


def test_older_messages_that_go_note_nothing(bench, driver):
    """While a newer one is there, its number is noted by itself: no page more is written."""
    bench.send(driver, "a", "b")
    bench.settle(driver, Ack(), *bench.receive(driver, limit=1))
    assert [(0,)] == bench.query("SELECT seq FROM last")


def test_a_single_send_writes_two_pages(bench, driver):
    """One of the table and one of its index, into the log. AUTOINCREMENT would write a third one."""
    log = bench.path.with_name(bench.path.name + "-wal")
    bench.send(driver, "a")
    before = log.stat().st_size
    bench.send(driver, "b")
    assert 2 * (4096 + 24) == log.stat().st_size - before
