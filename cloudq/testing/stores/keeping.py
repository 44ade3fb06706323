"""Behaviours: for how long records are kept, what an operator sees of them, and how they go."""

from __future__ import annotations

from cloudq.core.store import Claimed, ClaimKey, Completed, Forgotten, InProgress, RecordState
from cloudq.testing.stores.bench import KEY, StoreBench


class Keeping:
    """Records come and go as their owners and operators say."""

    def test_what_was_kept_for_long_enough_runs_again(self, bench: StoreBench) -> None:
        """Not before: an expired key is a new one."""
        assert bench.complete(bench.token(), keep=10 * bench.unit)
        bench.advance(9 * bench.unit)
        assert isinstance(bench.claim(), Completed)
        bench.advance(2 * bench.unit)
        assert isinstance(bench.claim(), Claimed)

    def test_a_completion_decides_how_long_it_is_kept(self, bench: StoreBench) -> None:
        """Counted from the completion, whatever the claim said."""
        token = bench.token()
        bench.advance(bench.unit)
        assert bench.complete(token, keep=2 * bench.keep)
        bench.advance(2 * bench.keep - bench.unit)
        assert isinstance(bench.claim(), Completed)

    def test_nothing_is_there_at_first(self, bench: StoreBench) -> None:
        """And nothing to forget."""
        assert bench.store.show(KEY) is None
        assert bench.store.forget(KEY) is Forgotten.NOTHING_THERE

    def test_a_claim_is_shown(self, bench: StoreBench) -> None:
        """With its owner and its token, while it holds and after."""
        token = bench.token(owner="host:42")
        record = bench.store.show(KEY)
        assert record is not None
        assert (record.state, record.owner, record.token) == (RecordState.IN_PROGRESS, "host:42", token)
        assert record.until is not None
        assert (record.at, record.result, record.fingerprint) == (None, None, b"f" * 32)
        bench.advance(bench.lease + bench.unit)
        record = bench.store.show(KEY)
        assert record is not None
        assert (record.state, record.owner) == (RecordState.LAPSED, "host:42")

    def test_a_completion_is_shown(self, bench: StoreBench) -> None:
        """With its result."""
        token = bench.token()
        assert bench.complete(token, result=b"42")
        record = bench.store.show(KEY)
        assert record is not None
        assert (record.state, record.token, record.result) == (RecordState.COMPLETED, token, b"42")
        assert record.at is not None
        assert record.until is None
        assert bench.keep - bench.unit <= record.keep_until - record.at <= bench.keep + bench.unit

    def test_a_release_keeps_the_token_alone(self, bench: StoreBench) -> None:
        """An edited payload may follow: no fingerprint, and no owner."""
        token = bench.token()
        assert bench.store.release(KEY, token)
        record = bench.store.show(KEY)
        assert record is not None
        assert (record.state, record.token) == (RecordState.RELEASED, token)
        assert (record.owner, record.until, record.fingerprint, record.result) == ("", None, None, None)

    def test_what_is_done_is_forgotten(self, bench: StoreBench) -> None:
        """Then it can be done again."""
        assert bench.complete(bench.token())
        assert bench.store.forget(KEY) is Forgotten.REMOVED
        assert bench.store.show(KEY) is None
        assert isinstance(bench.claim(), Claimed)

    def test_a_claim_that_holds_is_forgotten_only_by_force(self, bench: StoreBench) -> None:
        """Its owner may be at work."""
        bench.token()
        assert bench.store.forget(KEY) is Forgotten.STILL_RUNNING
        assert isinstance(bench.claim(), InProgress)
        assert bench.store.forget(KEY, force=True) is Forgotten.REMOVED
        assert isinstance(bench.claim(), Claimed)

    def test_what_lapsed_or_was_released_is_forgotten(self, bench: StoreBench) -> None:
        """Nobody is at work."""
        bench.token()
        bench.advance(bench.lease + bench.unit)
        assert bench.store.forget(KEY) is Forgotten.REMOVED
        assert bench.store.release(KEY, bench.token())
        assert bench.store.forget(KEY) is Forgotten.REMOVED

    def test_force_removes_whatever_is_there(self, bench: StoreBench) -> None:
        """Running, lapsed, released or done; and says so where there is nothing."""
        assert bench.store.forget(KEY, force=True) is Forgotten.NOTHING_THERE
        bench.token()
        bench.advance(bench.lease + bench.unit)
        assert bench.store.forget(KEY, force=True) is Forgotten.REMOVED
        assert bench.store.release(KEY, bench.token())
        assert bench.store.forget(KEY, force=True) is Forgotten.REMOVED
        assert bench.complete(bench.token())
        assert bench.store.forget(KEY, force=True) is Forgotten.REMOVED
        assert bench.store.show(KEY) is None

    def test_a_claim_without_fingerprint_or_result_is_told_without(self, bench: StoreBench) -> None:
        """`None` stays `None`, and an empty result an empty one."""
        token = bench.claim(fingerprint=None)
        assert isinstance(token, Claimed)
        found = bench.claim()
        assert isinstance(found, InProgress)
        assert found.fingerprint is None
        assert bench.complete(token.token, result=b"")
        done = bench.claim()
        assert isinstance(done, Completed)
        assert (done.result, done.fingerprint) == (b"", None)

    def test_a_sweep_removes_what_was_kept_for_long_enough(self, bench: StoreBench) -> None:
        """In bounded steps, and nothing else: neither what is kept nor what is claimed."""
        if not bench.harness.sweeps:
            assert bench.store.sweep(100) == 0
            return
        old = [ClaimKey("t", str(number)) for number in range(5)]
        for key in old:
            assert bench.complete(bench.token(key), key, keep=bench.unit)
        kept = ClaimKey("t", "kept")
        assert bench.complete(bench.token(kept), kept)
        bench.advance(2 * bench.unit)
        running = ClaimKey("t", "running")
        bench.token(running)
        assert [bench.store.sweep(2) for _ in range(4)] == [2, 2, 1, 0]
        assert all(bench.store.show(key) is None for key in old)
        assert isinstance(bench.claim(kept), Completed)
        assert isinstance(bench.claim(running), InProgress)
