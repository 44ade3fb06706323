"""Behaviours: what workers share about how fast tasks start, and whether at all, over a store's notes."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from itertools import pairwise

from cloudq.flow.flags import Flags
from cloudq.flow.rates import Rate
from cloudq.flow.seats import LEASE, StoredRegister
from cloudq.flow.turns import Granted, Spent, StoredTurns
from cloudq.testing.stores.bench import StoreBench

# A period beside which the kit's own time is short.
RATE = Rate("1/d")
DAY = RATE.each
SEATS = 5
MONTH = timedelta(days=31)


class Limiting:
    """Turns, seats and flags."""

    def test_no_two_workers_have_the_same_turn(self, bench: StoreBench) -> None:
        """Of eight clients that ask at once for three each, all have three in a row of their own."""
        turns = [_turns(bench) for _ in range(8)]
        taken = bench.together([partial(one.take, 3, MONTH) for one in turns])
        firsts = sorted(one.first for one in taken if isinstance(one, Granted))
        assert len(firsts) == len(turns)
        assert all(abs(later - sooner - 3 * DAY) < DAY / 4 for sooner, later in pairwise(firsts))

    def test_turns_come_nearer_by_the_stores_clock(self, bench: StoreBench) -> None:
        """Whatever the clocks of the machines say that ask."""
        _turns(bench).take(1, MONTH)
        first = _turns(bench).take(0, MONTH).first
        bench.advance(bench.unit)
        bench.harness.step(DAY)
        passed = first - _turns(bench).take(0, MONTH).first
        assert bench.unit <= passed + bench.harness.margin
        assert passed < 2 * bench.unit + bench.harness.margin

    def test_a_turn_too_far_away_is_left_to_others(self, bench: StoreBench) -> None:
        """Who asks for one learns how far it is."""
        _turns(bench).take(2, MONTH)
        assert isinstance(_turns(bench).take(1, DAY), Spent)
        assert isinstance(_turns(bench).take(1, 2 * DAY), Granted)

    def test_limits_of_apps_are_apart(self, bench: StoreBench) -> None:
        """Production's rate isn't staging's."""
        _turns(bench).take(1, MONTH)
        staging = bench.open("staging").notes
        assert StoredTurns(lambda: staging, "task t", RATE).take(1, MONTH).first < DAY / 4

    def test_no_two_workers_have_the_same_seat(self, bench: StoreBench) -> None:
        """Of eight clients that ask at once for two each, five seats in all are given; then one gives its own back."""
        registers = [_register(bench) for _ in range(8)]
        given = bench.together([partial(one.set, 2) for one in registers])
        assert sum(given) == SEATS
        holder = registers[given.index(2)]
        assert holder.set(0) == 0
        assert _register(bench).set(SEATS) == 2

    def test_seats_are_taken_until_their_lease_is_over(self, bench: StoreBench) -> None:
        """By the store's clock, whatever others do meanwhile; one that is renewed lasts."""
        dead, alive = _register(bench), _register(bench)
        assert (dead.set(3), alive.set(2)) == (3, 2)
        passed = timedelta(0)
        while passed <= LEASE + bench.harness.margin:
            bench.advance(LEASE / 4)
            passed += LEASE / 4
            assert alive.set(2) == 2
        assert _register(bench).set(SEATS) == 3

    def test_a_flag_is_seen_by_all_until_it_is_cleared(self, bench: StoreBench) -> None:
        """With what was said, and for how long it has been set by the store's clock."""
        flags = Flags(bench.store.notes)
        assert flags.set("pause/mail", "by ana")
        bench.advance(bench.unit)
        theirs = Flags(bench.open().notes)
        flag = theirs.look("pause/mail")
        assert flag is not None
        assert flag.text == "by ana"
        assert bench.unit <= flag.age < 2 * bench.unit + bench.harness.margin
        assert not theirs.set("pause/mail")
        assert theirs.clear("pause/mail")
        assert flags.look("pause/mail") is None
        assert flags.set("pause/mail")

    def test_of_many_that_set_a_flag_one_does(self, bench: StoreBench) -> None:
        """The others learn that it is set."""
        flags = [Flags(bench.open().notes) for _ in range(8)]
        assert bench.together([partial(one.set, "pause/mail") for one in flags]).count(True) == 1


def _register(bench: StoreBench) -> StoredRegister:
    notes = bench.open().notes
    return StoredRegister(lambda: notes, "task t", SEATS)


def _turns(bench: StoreBench) -> StoredTurns:
    notes = bench.open().notes
    return StoredTurns(lambda: notes, "task t", RATE)
