"""Behaviours: one owner at a time, and all others learn what is there."""

from __future__ import annotations

from functools import partial

import pytest

from cloudq.core.store import Claimed, ClaimKey, Completed, InProgress
from cloudq.testing.stores.bench import KEY, StoreBench

ODD_KEYS = {
    "long": ClaimKey("t", "k" * 512),
    "long, four bytes each": ClaimKey("t", "\U0001f9fe" * 512),
    "marks": ClaimKey("t", "a/b:c|d%e'f\"g\\h"),
    "lines": ClaimKey("t", "line one\nline two\ttab"),
    "no text": ClaimKey("t", "nul \0 and \ud800"),
    "long task": ClaimKey("a." * 100 + "t", " leading and trailing "),
}


class Claiming:
    """Taking a key, or being told why not."""

    def test_a_new_key_is_claimed(self, bench: StoreBench) -> None:
        """The first one that comes has it."""
        assert bench.token() > 0

    def test_a_claimed_key_is_in_progress_for_others(self, bench: StoreBench) -> None:
        """Another owner learns for how long at most, and by which fingerprint."""
        bench.claim(fingerprint=b"1" * 32)
        bench.advance(bench.unit)
        found = bench.claim(fingerprint=b"2" * 32)
        assert isinstance(found, InProgress)
        assert bench.unit < found.left <= bench.lease - bench.unit + bench.harness.margin
        assert found.fingerprint == b"1" * 32

    def test_a_completed_key_is_completed_for_others(self, bench: StoreBench) -> None:
        """They get its result and its fingerprint."""
        claimed = bench.claim(fingerprint=b"1" * 32)
        assert isinstance(claimed, Claimed)
        assert bench.complete(claimed.token, result=b'{"total": 3}')
        found = bench.claim(fingerprint=b"2" * 32)
        assert isinstance(found, Completed)
        assert (found.result, found.fingerprint) == (b'{"total": 3}', b"1" * 32)

    def test_a_completed_key_stays_completed_for_its_owner(self, bench: StoreBench) -> None:
        """A claim that is made again after the completion must not start the work again."""
        assert bench.complete(bench.token(owner="w"))
        assert isinstance(bench.claim(owner="w"), Completed)

    def test_a_claim_whose_answer_was_lost_is_given_again(self, bench: StoreBench) -> None:
        """The same owner gets the same token: its first call may have been carried out."""
        assert bench.token(owner="w") == bench.token(owner="w")

    def test_a_claim_that_is_given_again_lasts_anew(self, bench: StoreBench) -> None:
        """From the second call on."""
        token = bench.token(owner="w")
        bench.advance(bench.lease - bench.unit)
        assert bench.token(owner="w") == token
        bench.advance(bench.lease - bench.unit)
        assert isinstance(bench.claim(), InProgress)

    def test_a_released_key_is_claimed_at_once(self, bench: StoreBench) -> None:
        """By anybody, with a greater token."""
        first = bench.token()
        assert bench.store.release(KEY, first)
        assert bench.token() > first

    def test_a_lapsed_claim_is_taken_over(self, bench: StoreBench) -> None:
        """Once its lease is over, with a greater token; not before."""
        first = bench.token()
        bench.advance(bench.lease - bench.unit / 10)
        assert isinstance(bench.claim(), InProgress)
        bench.advance(bench.unit / 5 + bench.harness.margin)
        assert bench.token() > first

    def test_a_renewed_claim_lasts_from_its_renewal_on(self, bench: StoreBench) -> None:
        """For the lease that the renewal names."""
        token = bench.token()
        bench.advance(bench.lease - bench.unit)
        assert bench.store.renew(KEY, token, bench.lease)
        bench.advance(bench.lease - bench.unit)
        assert isinstance(bench.claim(), InProgress)
        bench.advance(2 * bench.unit)
        assert isinstance(bench.claim(), Claimed)

    def test_keys_are_apart(self, bench: StoreBench) -> None:
        """By task, by key, and wherever one ends and the other begins."""
        keys = [ClaimKey("a", "bc"), ClaimKey("ab", "c"), ClaimKey("a", "b"), ClaimKey("b", "a"), ClaimKey("a", "BC")]
        keys += [ClaimKey("a", "bc "), ClaimKey("a", "b\u0301"), ClaimKey("a", "\u00e9"), ClaimKey("a", "e\u0301")]
        tokens = {key: bench.token(key) for key in keys}
        assert bench.complete(tokens[keys[0]], keys[0])
        assert all(isinstance(bench.claim(key), InProgress) for key in keys[1:])

    @pytest.mark.parametrize("kind", ODD_KEYS)
    def test_every_key_that_a_message_may_have_works(self, bench: StoreBench, kind: str) -> None:
        """Up to 512 characters of any kind."""
        key = ODD_KEYS[kind]
        token = bench.token(key)
        assert isinstance(bench.claim(key), InProgress)
        assert bench.complete(token, key)
        assert isinstance(bench.claim(key), Completed)

    def test_namespaces_are_apart(self, bench: StoreBench) -> None:
        """Production's work must not be taken for staging's."""
        token = bench.token()
        assert bench.complete(token)
        other = bench.open("staging")
        assert isinstance(bench.claim(store=other), Claimed)
        assert not bench.open("third").renew(KEY, token, bench.lease)
        assert bench.open("third").show(KEY) is None

    def test_of_many_that_claim_at_once_one_has_it(self, bench: StoreBench) -> None:
        """In twenty rounds of eight clients each: one token, seven times in progress."""
        clients = [bench.open() for _ in range(8)]
        for number in range(20):
            key = ClaimKey("t", str(number))
            found = bench.together([partial(bench.claim, key, store=client) for client in clients])
            assert sorted(type(one).__name__ for one in found) == ["Claimed"] + ["InProgress"] * 7

    def test_of_many_that_take_over_at_once_one_has_it(self, bench: StoreBench) -> None:
        """A lapsed claim, and a released one, have one successor."""
        clients = [bench.open() for _ in range(8)]
        for number in range(20):
            key = ClaimKey("t", str(number))
            token = bench.token(key)
            if number % 2:
                assert bench.store.release(key, token)
            else:
                bench.advance(bench.lease + bench.unit)
            found = bench.together([partial(bench.claim, key, store=client) for client in clients])
            assert sorted(type(one).__name__ for one in found) == ["Claimed"] + ["InProgress"] * 7

    def test_many_keys_at_once_hold_each_other_up_in_nothing(self, bench: StoreBench) -> None:
        """Eight clients that claim and complete keys in different orders all come through."""
        clients = [bench.open() for _ in range(8)]
        keys = [ClaimKey("t", str(number)) for number in range(24)]

        def work(place: int) -> int:
            done = 0
            for key in keys[place * 3 :] + keys[: place * 3]:
                claimed = bench.claim(key, store=clients[place])
                if isinstance(claimed, Claimed):
                    done += clients[place].complete(key, claimed.token, result=None, keep=bench.keep)
            return done

        assert sum(bench.together([partial(work, place) for place in range(8)])) == len(keys)
