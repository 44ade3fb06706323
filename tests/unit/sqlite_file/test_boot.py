"""Leases go by time that passes, of one boot of the machine; a clock that is set changes none."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.driver import Ack, NativeDeadLetter
from cloudq.core.failure import Failure
from cloudq.errors import LeaseLost
from cloudq.sqlite_file import boot
from cloudq.testing.clock import FakeClock

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
LEASE = 60 * SECOND


@pytest.mark.parametrize("step", [-HOUR, -SECOND, SECOND, HOUR])
def test_a_clock_that_is_set_changes_no_lease(bench, driver, step):
    """To the end of the lease nobody else gets the message and its holder settles it; at the end it is ready."""
    other = bench.open()
    bench.send(driver, "a", "b")
    a, b = bench.receive(driver, lease=LEASE)
    bench.clock.step(step)
    bench.clock.advance(LEASE - SECOND)
    assert [] == bench.receive(other)
    assert 2 == other.stats("q").in_flight
    assert [None] == bench.settle(driver, Ack(), a)
    bench.clock.advance(SECOND)
    assert 1 == other.stats("q").ready
    assert ["b"] == [one.id for one in bench.receive(other)]
    assert [LeaseLost] == [type(error) for error in bench.settle(driver, Ack(), b)]


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_a_clock_that_is_set_changes_no_extension(bench, driver, step):
    """An extension ends as much later as it says, though the clock was set before it and is set after it."""
    bench.send(driver, "a")
    (delivery,) = bench.receive(driver, lease=LEASE)
    bench.clock.step(step)
    (granted,) = driver.extend([delivery.lease], 2 * LEASE)
    bench.clock.step(step)
    assert bench.clock.elapsed() + 2 * LEASE == granted.ends
    bench.clock.advance(2 * LEASE - SECOND)
    assert [] == bench.receive(bench.open())
    bench.clock.advance(SECOND)
    assert ["a"] == [one.id for one in bench.receive(driver)]


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_a_clock_that_is_set_changes_no_lease_of_a_dead_letter(bench, driver, step):
    """What a redrive has taken is kept from another one for as long as it asked for."""
    bench.send(driver, "a")
    bench.settle(driver, NativeDeadLetter(failure=Failure(reason="x")), *bench.receive(driver))
    dead, other = driver.dead_letters("q"), bench.open().dead_letters("q")
    (taken,) = dead.take(None, limit=1, lease=LEASE)
    bench.clock.step(step)
    bench.clock.advance(LEASE - SECOND)
    assert [[], []] == [list(other.take(keys, limit=1, lease=LEASE)) for keys in (None, ["1"])]
    bench.clock.advance(SECOND)
    assert [taken.id] == [one.id for one in other.take(["1"], limit=1, lease=LEASE)]
    assert ["LeaseLost"] == [type(r.error).__name__ for r in dead.settle([final(taken)])]


def final(delivery):
    from cloudq.core.driver import Final

    return Final(lease=delivery.lease, step=Ack())


def test_a_lease_says_when_it_ends_by_elapsed_time(bench, driver):
    """Counted from the moment at which the database gave it; the moment by the wall clock is for show."""
    bench.clock.advance(HOUR)
    bench.send(driver, "a")
    (delivery,) = bench.receive(driver, lease=LEASE)
    assert HOUR + LEASE == delivery.lease.ends
    assert bench.clock.now() + LEASE == delivery.lease.expires_at


def test_a_machine_that_slept_through_a_lease_has_lost_it(bench, driver):
    """Time for which the machine was suspended has passed for its leases, too."""
    bench.send(driver, "a")
    (delivery,) = bench.receive(driver, lease=LEASE)
    bench.clock.suspend(LEASE)
    assert [LeaseLost] == [type(error) for error in bench.settle(driver, Ack(), delivery)]
    assert ["a"] == [one.id for one in bench.receive(driver)]


def named(monkeypatch, name):
    monkeypatch.setattr(boot, "machine_boot", lambda: name)


@pytest.fixture
def machine(bench, monkeypatch):
    """Opens drivers as the machine would in a boot of that name, whose clock begins at 0."""

    class OfTheMachine(FakeClock):
        def __init__(self, start):
            super().__init__(start)
            self.boot = None

    def booted(name):
        bench.clock = OfTheMachine(bench.clock.now())
        named(monkeypatch, name)
        return bench.open(clock=bench.clock)

    return booted


def test_leases_of_an_earlier_boot_are_over(bench, machine):
    """Nobody who held them lives, so the messages, and dead letters, are ready as soon as somebody opens the file."""
    driver = machine("first/time:[1]")
    bench.clock.advance(HOUR)
    bench.send(driver, "dead")
    bench.settle(driver, NativeDeadLetter(failure=Failure(reason="x")), *bench.receive(driver))
    driver.dead_letters("q").take(None, limit=1, lease=HOUR)
    bench.send(driver, "a")
    bench.receive(driver, lease=HOUR)
    after = machine("second/time:[1]")
    assert (1, 0) == (after.stats("q").ready, after.stats("q").in_flight)
    assert ["a"] == [one.id for one in bench.receive(after)]
    assert ["dead"] == [one.id for one in after.dead_letters("q").take(None, limit=1, lease=HOUR)]
    assert [("second/time:[1]", 1)] == bench.query("SELECT name, number FROM boot")


@pytest.mark.parametrize(
    ("held_by", "opened_by"),
    [
        ("first/time:[1]", "first/time:[2]"),
        ("own:container/time:[1]", "first/time:[1]"),
        ("first/time:[1]", "own:container/time:[1]"),
        (None, "first/time:[1]"),
        ("first/time:[1]", None),
    ],
)
def test_a_lease_by_a_clock_that_may_still_run_ends_by_the_wall_clock(bench, machine, held_by, opened_by):
    """A container with a clock, or a boot id, of its own may be alive: its lease isn't touched before its end."""
    driver = machine(held_by)
    bench.clock.advance(HOUR)
    bench.send(driver, "a")
    bench.receive(driver, lease=LEASE)
    other = machine(opened_by)
    bench.clock.advance(LEASE - SECOND)
    assert [] == bench.receive(other)
    assert 1 == other.stats("q").in_flight
    bench.clock.advance(SECOND)
    assert 1 == other.stats("q").ready
    assert ["a"] == [one.id for one in bench.receive(other)]


def test_without_a_name_for_the_boot_leases_go_by_the_wall_clock(bench, machine):
    """As long as nobody sets it they end when they should, and say by elapsed time when that is."""
    driver = machine(None)
    bench.send(driver, "a")
    (delivery,) = bench.receive(driver, lease=LEASE)
    assert LEASE == delivery.lease.ends
    bench.clock.advance(LEASE - SECOND)
    assert [] == bench.receive(driver)
    (granted,) = driver.extend([delivery.lease], LEASE)
    assert bench.clock.elapsed() + LEASE == granted.ends
    bench.clock.advance(LEASE)
    assert ["a"] == [one.id for one in bench.receive(driver)]


def test_each_fake_clock_is_a_boot_of_its_own(bench):
    """Two tests' clocks count from different moments, so neither reads the other's leases by its own time."""
    first, second = FakeClock(), FakeClock()
    second.advance(HOUR)
    names = [boot.boot_name(clock) for clock in (first, second)]
    assert names[0] != names[1]
    assert boot.boot_name(SYSTEM_CLOCK) == boot.machine_boot()


@pytest.mark.slow
def test_all_processes_of_a_machine_name_the_boot_alike():
    """Or they wouldn't see each other's leases."""
    script = "from cloudq.sqlite_file.boot import machine_boot; print(machine_boot())"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert str(boot.machine_boot()) == other.stdout.strip()


def test_the_name_of_a_boot_on_linux(monkeypatch, tmp_path):
    """The kernel's boot id and the time namespace; marked where a container has put an id of its own over it."""
    (tmp_path / "boot_id").write_text("the-id\n")
    (tmp_path / "mountinfo").write_text(
        f"22 1 0:21 / /proc rw - proc proc rw\n23 22 0:5 /x {tmp_path}/other rw - a b c\n"
    )
    (tmp_path / "time").symlink_to("time:[7]")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(boot, "_BOOT_ID", f"{tmp_path}/boot_id")
    monkeypatch.setattr(boot, "_TIME_NAMESPACE", f"{tmp_path}/time")
    monkeypatch.setattr(boot, "_MOUNTS", f"{tmp_path}/mountinfo")
    name = boot.machine_boot.__wrapped__
    assert "the-id/time:[7]" == name()
    with (tmp_path / "mountinfo").open("a") as mounts:
        mounts.write(f"24 22 0:5 /y {tmp_path}/boot_id ro - tmpfs tmpfs ro\n")
    assert "own:the-id/time:[7]" == name()
    (tmp_path / "time").unlink()
    assert "own:the-id/" == name()
    (tmp_path / "boot_id").unlink()
    assert name() is None


def test_a_lease_changes_a_row_where_it_lies(bench, machine):
    """In a boot of the machine, of which there is one at a time: no step of a delivery writes a large body again."""
    machine("first/")
    driver = machine("second/")
    bench.send(driver, "a", body=b"x" * 1_000_000)
    log = bench.path.with_name("q.db-wal")
    before = log.stat().st_size
    (delivery,) = bench.receive(driver, lease=LEASE)
    driver.extend([delivery.lease], LEASE)
    bench.settle(driver, Ack(), delivery)
    assert log.stat().st_size - before < 200_000
