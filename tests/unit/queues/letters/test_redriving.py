"""The redrive itself: what is stored, deleted and released, in which order, and what an interruption leaves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.delivery import Delivery
from cloudq.core.driver import Final, Outgoing, Release, SendResult
from cloudq.errors import BackendUnavailable, OptionError, Throttled
from cloudq.queues.letters import redriving
from cloudq.queues.letters.copying import Copier
from cloudq.queues.letters.pace import Pace
from cloudq.queues.letters.redriving import Redriven, Redriver
from tests.unit.queues.letters.letters import a_message, a_queue, bury, received


class Bench:
    """Six dead letters, and a redrive of them whose parts can fail."""

    def __init__(self, count: int = 6) -> None:
        self.queue, self.driver, self.clock = a_queue()
        bury(self.driver, self.clock, *(wire.encode(a_message(id=str(number))) for number in range(count)))
        self.dead = self.driver.dead_letters("q")
        self.keys = [dead.key for dead in self.dead.peek(limit=1000)]
        self.batches: list[int] = []
        self.seen: list[Redriven] = []

    def redrive(
        self, keys: Sequence[str] | None = None, *, most: int = 2, rate: float | None = None, exclusive: bool = True
    ) -> Redriven:
        copier = Copier("q", self.driver.capabilities("q"), self.clock, None)
        redriver = Redriver(
            self.dead,
            self.store,
            lambda delivery: self.refuse(delivery) or copier.copy(delivery),
            pace=Pace(rate, self.clock),
            clock=self.clock,
            most=most,
            exclusive=exclusive,
            progress=self.seen.append,
        )
        return redriver.run(self.keys if keys is None else keys)

    def store(self, copies: Sequence[Outgoing]) -> Sequence[SendResult]:
        self.batches.append(len(copies))
        return self.driver.send(copies)

    def refuse(self, delivery: Delivery) -> None:
        del delivery

    def left(self) -> list[str]:
        return [dead.id for dead in self.driver.dead_letters("q").peek(limit=1000)]

    def free(self) -> list[str]:
        taken = self.driver.dead_letters("q").take(None, limit=1000, lease=timedelta(minutes=1))
        return [delivery.id for delivery in taken]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_goes_batch_by_batch_and_tells_each_time(bench: Bench) -> None:
    """With how many there are in all."""
    assert Redriven(redriven=6, chosen=6) == bench.redrive()
    assert [2, 2, 2] == bench.batches
    assert [(2, 6), (4, 6), (6, 6)] == [(done.redriven, done.chosen) for done in bench.seen]
    assert (6, []) == (len(received(bench.driver)), bench.left())


def test_a_copy_that_is_refused_leaves_its_letter(bench: Bench) -> None:
    """The others of its batch go on; it is free at once."""

    def refuse(delivery: Delivery) -> None:
        if delivery.id == "3":
            raise OptionError("not this one")

    bench.refuse = refuse  # type: ignore[method-assign]
    done = bench.redrive()
    assert (5, ["not this one"], 0) == (done.redriven, [str(error) for error in done.errors], done.missed)
    assert ["3"] == bench.free()


def test_a_copy_that_is_not_stored_leaves_its_letter(bench: Bench) -> None:
    """Its error is told."""

    def store(copies: Sequence[Outgoing]) -> Sequence[SendResult]:
        return [
            SendResult(error=Throttled("slow down")) if item.id == "4" else bench.driver.send([item])[0]
            for item in copies
        ]

    bench.store = store  # type: ignore[method-assign]
    done = bench.redrive()
    assert (5, ["slow down"]) == (done.redriven, [str(error) for error in done.errors])
    assert ["4"] == bench.free()


def test_what_somebody_else_has_taken_is_missed(bench: Bench) -> None:
    """And what is gone; both are told apart from what failed."""
    other = bench.driver.dead_letters("q")
    other.take(bench.keys[:2], limit=2, lease=timedelta(minutes=5))
    other.purge(bench.keys[5:])
    assert Redriven(redriven=3, chosen=6, missed=3) == bench.redrive()
    assert ["0", "1"] == bench.left()


def test_two_operators_at_once_make_one_copy_of_each(bench: Bench) -> None:
    """Each takes what the other one hasn't."""
    second = Bench(0)
    second.dead, second.driver, second.clock = bench.driver.dead_letters("q"), bench.driver, bench.clock
    done: list[Redriven] = []

    def store(copies: Sequence[Outgoing]) -> Sequence[SendResult]:
        if not done:
            done.append(second.redrive(bench.keys))
        return bench.driver.send(copies)

    bench.store = store  # type: ignore[method-assign]
    first = bench.redrive()
    assert [4, 2] == [done[0].redriven, first.redriven]
    assert [2, 4] == [done[0].missed, first.missed]
    assert [str(number) for number in range(6)] == sorted(delivery.id for delivery in received(bench.driver))


@pytest.mark.parametrize("stored", [0, 1, 2])
def test_an_interruption_leaves_each_in_one_place_or_in_two(bench: Bench, stored: int) -> None:
    """Whatever was stored by then; what was taken is free at once, and the same call does the rest."""
    original = bench.store

    def store(copies: Sequence[Outgoing]) -> Sequence[SendResult]:
        if len(bench.batches) == 1:
            bench.driver.send(copies[:stored])
            raise KeyboardInterrupt
        return original(copies)

    bench.store = store  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        bench.redrive()
    assert ["2", "3", "4", "5"] == bench.left()
    bench.store = original  # type: ignore[method-assign]
    assert 4 == bench.redrive().redriven, "nobody waits for the ends of the leases"
    ids = [delivery.id for delivery in received(bench.driver)]
    assert {str(number) for number in range(6)} == set(ids)
    assert all(ids.count(one) <= 2 for one in ids)
    assert [] == bench.left()


def test_a_rate_makes_small_batches_under_no_lease(bench: Bench) -> None:
    """It waits with nothing in its hands: what is taken is sent at once."""
    held = held_at_waits(bench)
    assert 6 == bench.redrive(most=100, rate=3).redriven
    assert [3, 3] == bench.batches
    assert timedelta(seconds=1) == bench.clock.elapsed()
    assert [0] == held


def held_at_waits(bench: Bench) -> list[int]:
    """How many dead letters were taken at each wait, which passes at once."""
    held: list[int] = []

    def wait(condition: object, timeout: timedelta | None) -> bool:
        del condition
        dead = bench.driver.dead_letters("q")
        free = dead.take(None, limit=1000, lease=timedelta(minutes=1))
        dead.settle([Final(lease=delivery.lease, step=Release()) for delivery in free])
        held.append(len(dead.peek(limit=1000)) - len(free))
        bench.clock.advance(timeout or timedelta(0))
        return False

    bench.clock.wait = wait  # type: ignore[assignment]
    return held


def test_a_turn_may_be_further_off_than_any_lease(bench: Bench) -> None:
    """Each is taken once its turn has come, sent once, and deleted."""
    held = held_at_waits(bench)
    assert Redriven(redriven=6, chosen=6) == bench.redrive(rate=1 / 300)
    assert timedelta(minutes=25) == bench.clock.elapsed()
    assert {0} == set(held)
    assert (6, []) == (len(received(bench.driver)), bench.left())


def test_what_is_taken_for_too_long_is_not_sent(bench: Bench) -> None:
    """It could no longer be deleted, and so would be sent again; where that goes on, it ends."""
    bench.dead = slow = Hiding(bench.dead, most=1000)  # type: ignore[assignment]
    take = slow.take

    def slowly(keys: Sequence[str], *, limit: int, lease: timedelta) -> Sequence[Delivery]:
        taken = take(keys, limit=limit, lease=lease)
        bench.clock.advance(lease)
        return taken

    slow.take = slowly  # type: ignore[method-assign]
    done = bench.redrive(most=1)
    assert (0, [], 3, 3) == (done.redriven, bench.batches, len(done.errors), done.missed)
    assert "wasn't sent: the lease on it ran out" in str(done.errors[0])
    assert 6 == len(bench.free())


class Hiding:
    """Dead letters of which a look shows a few, by hiding them; as on Amazon SQS."""

    hides_for = timedelta(minutes=1)
    unseen = False

    def __init__(self, dead: object, most: int) -> None:
        self._dead = dead
        self._most = most
        self.takes: list[int] = []

    def take(self, keys: Sequence[str], *, limit: int, lease: timedelta) -> Sequence[Delivery]:
        taken = self._dead.take(keys, limit=min(limit, self._most), lease=lease)  # type: ignore[attr-defined]
        self.unseen = len(taken) == self._most
        self.takes.append(len(taken))
        return taken

    def __getattr__(self, name: str) -> object:
        return getattr(self._dead, name)


def test_where_to_take_is_to_read_all_much_is_taken_at_once(bench: Bench) -> None:
    """A look for each batch would read the whole queue for each; what one look doesn't hold is taken by the next."""
    bench.dead = hiding = Hiding(bench.dead, most=4)  # type: ignore[assignment]
    assert Redriven(redriven=6, chosen=6) == bench.redrive()
    assert [2, 2, 2] == bench.batches
    assert [4, 2] == hiding.takes


def test_there_a_rate_bounds_what_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """To what is sent within half of the lease."""
    bench = Bench(30)
    monkeypatch.setattr(redriving, "_HALF", timedelta(seconds=5))
    bench.dead = hiding = Hiding(bench.dead, most=1000)  # type: ignore[assignment]
    bench.clock.wait = lambda _, timeout: bench.clock.advance(timeout) or False  # type: ignore[assignment]
    assert 30 == bench.redrive(most=100, rate=2).redriven
    assert [10, 10, 10] == hiding.takes


def test_what_was_done_is_a_value() -> None:
    """For a caller that goes on."""
    assert Redriven(redriven=1, chosen=2) == replace(Redriven(redriven=0, chosen=2), redriven=1)


@pytest.mark.parametrize(("exclusive", "expected"), [(True, (6, 0, 2, 2)), (False, (4, 2, 0, 0))])
def test_without_leases_a_late_deletion_says_that_another_did_the_same(
    bench: Bench, exclusive: bool, expected: tuple[int, int, int, int]
) -> None:
    """It stored the same copy before, by its name: nothing is wrong. With leases it may be in both places."""

    def store(copies: Sequence[Outgoing]) -> Sequence[SendResult]:
        if "0" in {item.id for item in copies}:
            bench.driver.dead_letters("q").purge(bench.keys[:2])
        return bench.driver.send(copies)

    bench.store = store  # type: ignore[method-assign]
    done = bench.redrive(exclusive=exclusive)
    assert expected == (done.redriven, done.missed, len(done.errors), done.undeleted)


def test_what_took_long_to_find_is_not_sent_under_a_lease_that_ends(bench: Bench) -> None:
    """Somebody else may have sent it by then: it is released, and fewer are looked for at once."""
    bench.dead = slow = Hiding(bench.dead, most=1000)  # type: ignore[assignment]
    take, asked = slow.take, []

    def slowly(keys: Sequence[str], *, limit: int, lease: timedelta) -> Sequence[Delivery]:
        asked.append(limit)
        taken = take(keys, limit=limit, lease=lease)
        bench.clock.advance(lease - timedelta(seconds=10))
        return taken

    slow.take = slowly  # type: ignore[method-assign]
    assert Redriven(redriven=6, chosen=6) == bench.redrive()
    assert 6 == asked[0]
    assert [2, 2, 2] == asked[-3:] == bench.batches
    assert 6 == len(received(bench.driver))


def test_a_backend_that_is_down_ends_it(bench: Bench) -> None:
    """After three batches in a row of which nothing could be stored; what is left is free at once."""
    bench = Bench(20)
    down = [True, True, False, True, True, True, True, True]

    def store(copies: Sequence[Outgoing]) -> Sequence[SendResult]:
        bench.batches.append(len(copies))
        if down[len(bench.batches) - 1]:
            return [SendResult(error=BackendUnavailable("gone"))] * len(copies)
        return bench.driver.send(copies)

    bench.store = store  # type: ignore[method-assign]
    bench.dead = counting = Hiding(bench.dead, most=4)  # type: ignore[assignment]
    done = bench.redrive()
    assert [4] * 3 == counting.takes, "nothing more is taken from others"
    assert (2, 10, 8, 20) == (done.redriven, len(done.errors), done.missed, done.chosen)
    assert 6 == len(bench.batches)
    assert 18 == len(bench.free())


def test_a_backend_that_fails_half_way_leaves_what_was_done_said(bench: Bench) -> None:
    """With its error; before anything was done there is nothing to say, and it is raised."""
    bench.dead = failing = Hiding(bench.dead, most=4)  # type: ignore[assignment]
    take, away = failing.take, BackendUnavailable("away")

    def once(keys: Sequence[str], *, limit: int, lease: timedelta) -> Sequence[Delivery]:
        if failing.takes:
            raise away
        return take(keys, limit=limit, lease=lease)

    failing.take = once  # type: ignore[method-assign]
    assert Redriven(redriven=4, chosen=6, missed=2, errors=(away,)) == bench.redrive()
    with pytest.raises(BackendUnavailable):
        bench.redrive()


def test_what_is_refused_ends_nothing(bench: Bench) -> None:
    """Each may be refused for a reason of its own."""
    bench.store = lambda copies: [SendResult(error=OptionError("no"))] * len(copies)  # type: ignore[method-assign]
    assert 6 == len(bench.redrive(most=1).errors)


def test_what_is_refused_is_not_taken_again_and_again(bench: Bench) -> None:
    """Where a look shows some of them only, and none of those can be sent, it ends."""
    bench.dead = hiding = Hiding(bench.dead, most=4)  # type: ignore[assignment]

    def refuse(delivery: Delivery) -> None:
        assert len(hiding.takes) < 5, "it goes in a circle"
        raise OptionError("no")

    bench.refuse = refuse  # type: ignore[method-assign]
    done = bench.redrive()
    assert (0, 4, 2) == (done.redriven, len(done.errors), done.missed)
    assert [4] == hiding.takes
