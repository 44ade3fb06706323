"""Behaviours: only the claim's own token changes a record, however late its owner wakes up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from cloudq.core.store import Claim, Claimed, Completed, InProgress, RecordState
from cloudq.testing.stores.bench import KEY, StoreBench


def _renew(bench: StoreBench, token: int) -> bool:
    return bench.store.renew(KEY, token, bench.lease)


def _complete(bench: StoreBench, token: int) -> bool:
    return bench.complete(token, result=b"stale")


def _release(bench: StoreBench, token: int) -> bool:
    return bench.store.release(KEY, token)


CALLS = [_renew, _complete, _release]
each_call = pytest.mark.parametrize("call", CALLS, ids=["renew", "complete", "release"])


class Fencing:
    """A stale owner changes nothing."""

    @each_call
    def test_an_owner_that_was_followed_changes_nothing(
        self, bench: StoreBench, call: Callable[[StoreBench, int], bool]
    ) -> None:
        """While its successor works."""
        stale = bench.token()
        bench.advance(bench.lease + bench.unit)
        token = bench.token(owner="successor")
        before = bench.store.show(KEY)
        assert call(bench, stale) is False
        assert bench.store.show(KEY) == before
        assert bench.store.renew(KEY, token, bench.lease)

    @each_call
    def test_an_owner_whose_successor_is_done_changes_nothing(
        self, bench: StoreBench, call: Callable[[StoreBench, int], bool]
    ) -> None:
        """The successor's result stays."""
        stale = bench.token()
        bench.advance(bench.lease + bench.unit)
        assert bench.complete(bench.token(), result=b"right")
        assert call(bench, stale) is False
        found = bench.claim()
        assert isinstance(found, Completed)
        assert found.result == b"right"

    @each_call
    def test_an_owner_whose_successor_gave_up_changes_nothing(
        self, bench: StoreBench, call: Callable[[StoreBench, int], bool]
    ) -> None:
        """A released key is free for the next, not for the one before."""
        stale = bench.token()
        bench.advance(bench.lease + bench.unit)
        assert bench.store.release(KEY, bench.token())
        assert call(bench, stale) is False
        assert isinstance(bench.claim(), Claimed)

    @each_call
    def test_an_owner_whose_successor_lapsed_changes_nothing(
        self, bench: StoreBench, call: Callable[[StoreBench, int], bool]
    ) -> None:
        """What was taken over once doesn't come back."""
        stale = bench.token()
        bench.advance(bench.lease + bench.unit)
        bench.token(owner="successor")
        bench.advance(bench.lease + bench.unit)
        before = bench.store.show(KEY)
        assert call(bench, stale) is False
        assert bench.store.show(KEY) == before

    @each_call
    def test_an_owner_whose_record_was_kept_for_long_enough_changes_nothing(
        self, bench: StoreBench, call: Callable[[StoreBench, int], bool]
    ) -> None:
        """Whether it has been swept by then or not."""
        token = bench.token()
        bench.advance(bench.lease + bench.keep + bench.unit)
        assert call(bench, token) is False
        assert bench.store.show(KEY) is None

    @each_call
    def test_an_owner_whose_record_is_forgotten_changes_nothing(
        self, bench: StoreBench, call: Callable[[StoreBench, int], bool]
    ) -> None:
        """It makes no new record either."""
        stale = bench.token()
        bench.store.forget(KEY, force=True)
        assert call(bench, stale) is False
        assert bench.store.show(KEY) is None

    @each_call
    def test_a_token_that_nobody_has_changes_nothing(
        self, bench: StoreBench, call: Callable[[StoreBench, int], bool]
    ) -> None:
        """A greater one neither."""
        token = bench.token()
        assert call(bench, token + 1) is False
        assert call(bench, 0) is False
        assert isinstance(bench.claim(), InProgress)

    def test_a_completion_that_is_late_counts_if_nobody_followed(self, bench: StoreBench) -> None:
        """Finished work must not be done again."""
        token = bench.token()
        bench.advance(bench.lease + bench.unit)
        assert bench.complete(token)
        assert isinstance(bench.claim(), Completed)

    def test_a_renewal_that_is_late_counts_if_nobody_followed(self, bench: StoreBench) -> None:
        """The claim holds again."""
        token = bench.token()
        bench.advance(bench.lease + bench.unit)
        assert bench.store.renew(KEY, token, bench.lease)
        assert isinstance(bench.claim(), InProgress)

    def test_a_completion_whose_answer_was_lost_can_be_made_again(self, bench: StoreBench) -> None:
        """The first one's result stays."""
        token = bench.token()
        assert bench.complete(token, result=b"first")
        assert bench.complete(token, result=b"second")
        found = bench.claim()
        assert isinstance(found, Completed)
        assert found.result == b"first"

    def test_a_release_whose_answer_was_lost_can_be_made_again(self, bench: StoreBench) -> None:
        """As long as nobody followed."""
        token = bench.token()
        assert bench.store.release(KEY, token)
        assert bench.store.release(KEY, token)

    def test_what_is_completed_is_neither_renewed_nor_released(self, bench: StoreBench) -> None:
        """By its own token neither."""
        token = bench.token()
        assert bench.complete(token)
        assert not bench.store.renew(KEY, token, bench.lease)
        assert not bench.store.release(KEY, token)
        assert isinstance(bench.claim(), Completed)

    def test_what_is_released_is_neither_renewed_nor_completed(self, bench: StoreBench) -> None:
        """By its own token neither: another may have started meanwhile."""
        token = bench.token()
        assert bench.store.release(KEY, token)
        assert not bench.store.renew(KEY, token, bench.lease)
        assert not bench.complete(token)
        assert isinstance(bench.claim(), Claimed)

    def test_a_renewal_never_shortens_what_is_kept(self, bench: StoreBench) -> None:
        """The record stays until its claim's end and longer."""
        token = bench.token()
        assert bench.store.renew(KEY, token, bench.keep * 2)
        bench.advance(bench.keep + 2 * bench.lease)
        assert isinstance(bench.claim(), InProgress)

    def test_tokens_grow_after_a_record_is_gone(self, bench: StoreBench) -> None:
        """Else an effect that checks the token would take a stale owner for the newer one."""
        tokens = [bench.token()]
        for _ in range(5):
            bench.store.forget(KEY, force=True)
            bench.advance(bench.unit)
            tokens.append(bench.token())
        assert tokens == sorted(set(tokens))

    def test_of_a_late_completion_and_a_successor_one_wins(self, bench: StoreBench) -> None:
        """In twenty rounds: it is completed by the first, or in progress by the second, never both."""
        for number in range(20):
            stale = bench.token()
            bench.advance(bench.lease + bench.unit)
            calls: list[Callable[[], bool | Claim]] = [
                partial(bench.complete, stale),
                partial(bench.claim, store=bench.open(), owner=f"next-{number}"),
            ]
            late, claimed = bench.together(calls)
            record = bench.store.show(KEY)
            assert record is not None
            if late:
                assert (type(claimed), record.state) == (Completed, RecordState.COMPLETED)
            else:
                assert (type(claimed), record.state) == (Claimed, RecordState.IN_PROGRESS)
            bench.store.forget(KEY, force=True)
            bench.advance(bench.unit)
