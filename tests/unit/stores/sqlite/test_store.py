"""The store in an SQLite file, beyond what the store conformance kit holds it to."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq.core.driver import Outgoing
from cloudq.core.store import Claim, Claimed, ClaimKey, Completed, Forgotten, InProgress, RecordState
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.errors import ConfigurationError, SchemaMismatch, StoreRefused, StoreUnavailable
from cloudq.sqlite_file.connection import Database
from cloudq.stores.sqlite import SqliteStore
from cloudq.testing.clock import FakeClock

KEY = ClaimKey("billing.charge", "order-1")
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def claim(store: SqliteStore, owner: str = "me", key: ClaimKey = KEY, lease: timedelta = MINUTE) -> Claim:
    return store.claim(key, owner=owner, lease=lease, fingerprint=b"f" * 32, keep=30 * DAY)


def token(store: SqliteStore, owner: str = "me", key: ClaimKey = KEY) -> int:
    said = claim(store, owner, key)
    assert isinstance(said, Claimed)
    return said.token


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", [-400 * DAY, -MINUTE, MINUTE, 400 * DAY])
def test_a_clock_that_is_set_ends_no_claim_and_forgets_nothing(
    store: SqliteStore, opened, clock: FakeClock, step: timedelta
) -> None:
    """Claims, renewals and records last for as long as was said, whatever the wall clock shows."""
    done = ClaimKey("t", "done")
    assert store.complete(done, token(store, key=done), result=b"r", keep=DAY)
    held = token(store)
    clock.step(step)
    other = opened()
    assert claim(other, "other") == InProgress(MINUTE, b"f" * 32)
    assert store.renew(KEY, held, 2 * MINUTE)
    clock.step(-2 * step)
    clock.advance(2 * MINUTE - timedelta(seconds=1))
    assert isinstance(claim(other, "other"), InProgress)
    assert isinstance(claim(other, "other", done), Completed)
    assert other.sweep(100) == 0
    clock.advance(timedelta(seconds=1))
    assert isinstance(claim(other, "other"), Claimed)


def test_tokens_grow_though_the_clock_was_set_back_and_the_record_is_gone(store: SqliteStore, clock: FakeClock) -> None:
    """Forgotten or swept: an effect that compares tokens must not take the stale owner for the newer one."""
    tokens = [token(store)]
    clock.step(-400 * DAY)
    assert store.forget(KEY, force=True) is Forgotten.REMOVED
    tokens.append(token(store))
    clock.step(-400 * DAY)
    clock.advance(31 * DAY)
    store.sweep(100)
    clock.step(1000 * DAY)  # past what was kept by the wall clock, too
    assert store.sweep(100) <= 1
    clock.step(-2000 * DAY)
    tokens.append(token(store))
    assert tokens == sorted(set(tokens))


def test_after_a_reboot_nobody_holds_a_claim(path: Path, opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner died with the machine; what was done is kept on by the wall clock."""
    monkeypatch.setattr("cloudq.sqlite_file.boot.machine_boot", lambda: "first/")
    before = FakeClock()
    before.boot = None  # type: ignore[assignment]
    store = opened(clock=before)
    done = ClaimKey("t", "done")
    assert store.complete(done, token(store, key=done), result=None, keep=2 * DAY)
    first = token(store)
    monkeypatch.setattr("cloudq.sqlite_file.boot.machine_boot", lambda: "second/")
    after = FakeClock(start=before.now() + timedelta(seconds=20))
    after.boot = None  # type: ignore[assignment]
    rebooted = opened(clock=after)
    record = rebooted.show(KEY)
    assert record is not None
    assert record.state is RecordState.LAPSED
    assert isinstance(claim(rebooted, "other", done), Completed)
    assert token(rebooted, "other") > first
    assert not rebooted.complete(KEY, first, result=None, keep=DAY)
    after.advance(2 * DAY)
    assert isinstance(claim(rebooted, "other", done), Claimed)


def test_a_container_with_a_clock_of_its_own_is_waited_for_by_the_wall_clock(opened, clock: FakeClock) -> None:
    """It may be alive: its claim holds until its end."""
    theirs = FakeClock()
    store = opened(clock=theirs)
    token(store)
    other = opened()
    assert claim(other, "other") == InProgress(MINUTE, b"f" * 32)
    clock.advance(MINUTE)
    assert isinstance(claim(other, "other"), Claimed)


def test_the_longest_span_that_there_is(store: SqliteStore, clock: FakeClock) -> None:
    """A claim that never lapses, of a record that is kept forever, is shown with the last day that there is."""
    clock.advance(DAY)
    said = store.claim(KEY, owner="me", lease=9_000_000 * DAY, fingerprint=None, keep=9_000_000 * DAY)
    assert isinstance(said, Claimed)
    clock.advance(DAY)
    record = store.show(KEY)
    assert record is not None
    assert record.until is not None
    assert (record.until.year, record.keep_until.year) == (9999, 9999)
    assert isinstance(claim(store, "other"), InProgress)


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("first", ["store", "driver"])
def test_store_and_backend_share_a_file(path: Path, clock: FakeClock, first: str) -> None:
    """Whichever comes first makes it; each finds its own tables."""
    opens = {"store": lambda: SqliteStore(path, "app", clock=clock), "driver": lambda: SQLiteDriver(path, clock=clock)}
    made = {name: opens[name]() for name in ([first, *(opens.keys() - {first})])}
    store, driver = made["store"], made["driver"]
    assert isinstance(store, SqliteStore)
    assert isinstance(driver, SQLiteDriver)
    held = token(store)
    assert driver.send([Outgoing(id="a", queue="q", body=b"x")])[0].error is None
    assert store.complete(KEY, held, result=b"r", keep=DAY)
    assert driver.stats("q").ready == 1
    driver.close()
    store.close()
    for opens_again in opens.values():
        opens_again().close()


def test_a_file_of_another_program_is_refused(path: Path, opened) -> None:
    """A user's own database, say: it is left as it is."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE users(name)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SchemaMismatch, match="another program"):
        opened()
    assert path.read_bytes() == before


def test_a_file_that_can_only_be_read_is_refused_at_open(path: Path, opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the first claim."""
    opened().close()
    path.chmod(0o400)
    access = os.access
    # root may write what it likes: as anybody else would be told.
    monkeypatch.setattr(os, "access", lambda name, mode: not (name == path and mode & os.W_OK) and access(name, mode))
    with pytest.raises(StoreRefused, match="can't be written"):
        opened()


def test_a_missing_folder_is_refused(tmp_path: Path, opened) -> None:
    """As the backend refuses it."""
    with pytest.raises(ConfigurationError, match="doesn't exist"):
        opened(path=tmp_path / "missing" / "cloudq.db")


def test_a_file_that_others_hold_is_unavailable(path: Path, opened) -> None:
    """Within the time limit; then the same call can be made again."""
    store = opened(timeout=timedelta(seconds=0.4))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="busy"):
        claim(store)
    other.execute("ROLLBACK")
    other.close()
    assert isinstance(claim(store), Claimed)


def test_what_was_closed_refuses(opened) -> None:
    """Every call."""
    store = opened()
    store.close()
    for call in (lambda: claim(store), lambda: store.show(KEY), lambda: store.sweep(1), lambda: store.notes.read("n")):
        with pytest.raises(StoreRefused, match="closed"):
            call()


def test_texts_that_are_not_unicode_are_keys_too(store: SqliteStore) -> None:
    """Each is one of its own."""
    keys = [ClaimKey("t", "\ud800"), ClaimKey("t", "\ud801"), ClaimKey("t", "\\ud800"), ClaimKey("t", "a\0b")]
    assert [type(claim(store, key=key)) for key in keys] == [Claimed] * 4
    assert [type(claim(store, "other", key)) for key in keys] == [InProgress] * 4


# ── what it costs, and what is flushed ───────────────────────────────────────────────────────────────────


def test_what_is_flushed_and_how_often_the_lock_is_taken(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task's claim and completion are one statement each; of the two only the completion is flushed."""
    calls: list[tuple[bool, bool]] = []
    write = Database.write

    def noted(self: Database, work, *, durable: bool, alone: bool = False):
        calls.append((durable, alone))
        return write(self, work, durable=durable, alone=alone)

    monkeypatch.setattr(Database, "write", noted)
    held = token(store)
    store.renew(KEY, held, MINUTE)
    store.complete(KEY, held, result=None, keep=DAY)
    assert calls == [(False, True), (False, True), (True, True)]


# ── processes ────────────────────────────────────────────────────────────────────────────────────────────

PROLOGUE = """
import os, sys
from datetime import timedelta
from pathlib import Path
from cloudq.core.store import ClaimKey, Claimed
from cloudq.stores.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]), "app")
MINUTE = timedelta(minutes=1)
def claim(key, owner):
    return store.claim(ClaimKey("t", key), owner=owner, lease=MINUTE, fingerprint=None, keep=MINUTE)
"""


def start(path: Path, script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROLOGUE + script, str(path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_of_many_processes_one_has_each_key(path: Path) -> None:
    """Four of them, sixty keys, all at once: no key has two owners, and none has none."""
    script = """
print("ready", flush=True)
sys.stdin.readline()
print(*[n for n in range(60) if isinstance(claim(str(n), f"{os.getpid()}"), Claimed)])
"""
    processes = [start(path, script) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    won = [process.communicate(timeout=60)[0].split() for process in processes]
    assert sorted(int(key) for keys in won for key in keys) == list(range(60))


@pytest.mark.slow
def test_a_stopped_owner_changes_nothing_of_its_successors(path: Path) -> None:
    """It wakes up past its lease: its completion, release and renewal are all refused, the successor's stands."""
    script = """
lease = timedelta(milliseconds=50)
key = ClaimKey("t", "k")
token = store.claim(key, owner="first", lease=lease, fingerprint=None, keep=MINUTE).token
print("held", flush=True)
sys.stdin.readline()
renewed = store.renew(key, token, MINUTE)
print(renewed, store.complete(key, token, result=b"stale", keep=MINUTE), store.release(key, token))
"""
    first = start(path, script)
    assert first.stdout is not None
    assert first.stdin is not None
    assert first.stdout.readline() == "held\n"
    first.send_signal(signal.SIGSTOP)
    store = SqliteStore(path, "app")
    key = ClaimKey("t", "k")
    said: Claim = InProgress(MINUTE, None)
    while not isinstance(said, Claimed):
        said = store.claim(key, owner="second", lease=MINUTE, fingerprint=None, keep=MINUTE)
    first.send_signal(signal.SIGCONT)
    assert first.communicate("go\n", timeout=60)[0] == "False False False\n"
    assert store.complete(key, said.token, result=b"right", keep=MINUTE)
    record = store.show(key)
    assert record is not None
    assert (record.state, record.result) == (RecordState.COMPLETED, b"right")
    store.close()


@pytest.mark.slow
def test_what_was_completed_survives_kill_nine(path: Path) -> None:
    """Whatever was being written: each completion that was reported is there."""
    script = """
for n in range(100000):
    token = claim(str(n), "me").token
    assert store.complete(ClaimKey("t", str(n)), token, result=b"%d" % n, keep=MINUTE)
    print(n, flush=True)
"""
    process = start(path, script)
    assert process.stdout is not None
    reported = [int(process.stdout.readline()) for _ in range(50)]
    process.kill()
    rest = process.communicate(timeout=60)[0].split("\n")[:-1]
    reported += [int(line) for line in rest]
    store = SqliteStore(path, "app")
    for number in reported:
        record = store.show(ClaimKey("t", str(number)))
        assert record is not None
        assert (record.state, record.result) == (RecordState.COMPLETED, b"%d" % number)
    store.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


@pytest.mark.slow
def test_a_child_process_goes_on_with_its_parents_store(path: Path) -> None:
    """It opens the file anew: it can complete what its parent claimed, and harms nothing of it."""
    script = """
import warnings
warnings.filterwarnings("ignore", "This process", DeprecationWarning)  # Python 3.12 warns of fork with threads
token = claim("parent", "p").token
pid = os.fork()
if pid == 0:
    print(type(claim("child", "c")).__name__, store.complete(ClaimKey("t", "parent"), token, result=None, keep=MINUTE))
    sys.exit(0)  # with everything that the interpreter does at its end
assert os.waitpid(pid, 0)[1] == 0
print(store.show(ClaimKey("t", "parent")).state.value, type(claim("child", "p")).__name__)
"""
    assert start(path, script).communicate(timeout=60)[0].splitlines() == ["Claimed True", "completed InProgress"]
