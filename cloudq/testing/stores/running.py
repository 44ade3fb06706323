"""Behaviours: what is noted of a message's run, by the table of `cloudq.core.run_life`, and who may change it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from cloudq.core.run_life import KEPT_ENDED, KEPT_UNFINISHED, RunState
from cloudq.core.run_notes import CancelAnswer, Run, RunNotes, SeenRun
from cloudq.testing.stores.bench import StoreBench

ID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff"


def _runs(bench: StoreBench) -> RunNotes:
    """As another process has them."""
    return RunNotes(bench.open().notes)


def _started(bench: StoreBench, owner: str = "a", attempt: int = 1, keep: timedelta | None = None) -> Run:
    run = _runs(bench).start(ID, "t", owner=owner, attempt=attempt, keep=keep)
    assert isinstance(run, Run), f"it may not start: {run}"
    return run


def _seen(bench: StoreBench) -> SeenRun:
    seen = _runs(bench).look(ID)
    assert seen is not None
    return seen


class Running:
    """A run from its message's sending to its end."""

    def test_a_tracked_message_waits(self, bench: StoreBench) -> None:
        """Until a worker starts it."""
        assert _runs(bench).look(ID) is None
        _runs(bench).track(ID, "t")
        assert _seen(bench).record.state is RunState.WAITING
        _started(bench)
        assert _seen(bench).record.state is RunState.RUNNING

    def test_a_worker_may_be_faster_than_the_sender(self, bench: StoreBench) -> None:
        """Then the sender's note comes too late, and changes nothing."""
        assert _started(bench).end(RunState.SUCCEEDED, result=b"42")
        _runs(bench).track(ID, "t")
        assert (_seen(bench).record.state, _seen(bench).record.result) == (RunState.SUCCEEDED, b"42")

    def test_the_first_result_stays(self, bench: StoreBench) -> None:
        """A second run of what is done is noted no more; nor does its owner write a second result."""
        run = _started(bench)
        assert run.end(RunState.SUCCEEDED, result=b"first")
        assert _runs(bench).start(ID, "t", owner="b", attempt=2, keep=None) is RunState.SUCCEEDED
        run.end(RunState.SUCCEEDED, result=b"second")
        assert not run.end(RunState.RETRIED, "late")
        assert _seen(bench).record.result == b"first"

    def test_an_end_whose_answer_was_lost_can_be_noted_again(self, bench: StoreBench) -> None:
        """It finds that it is its own."""
        run = _started(bench)
        assert run.end(RunState.SUCCEEDED, result=b"42")
        again = _runs(bench)
        assert again.start(ID, "t", owner="a", attempt=1, keep=None) is RunState.SUCCEEDED
        assert run.end(RunState.SUCCEEDED, result=b"42")

    def test_a_stale_owner_writes_nothing(self, bench: StoreBench) -> None:
        """Neither its result, nor its failure, nor how far it has come."""
        stale = _started(bench, "a")
        run = _started(bench, "b", 2)
        assert run.report(1, 4)
        assert not stale.report(4, 4)
        assert not stale.end(RunState.SUCCEEDED, result=b"stale")
        assert not stale.end(RunState.DEAD_LETTERED, "stale")
        record = _seen(bench).record
        assert (record.state, record.owner, record.attempt, record.done) == (RunState.RUNNING, "b", 2, 1)
        assert run.end(RunState.SUCCEEDED, result=b"right")
        assert not stale.end(RunState.SUCCEEDED, result=b"stale")
        assert _seen(bench).record.result == b"right"

    def test_of_two_owners_that_end_at_once_the_later_one_is_noted(self, bench: StoreBench) -> None:
        """Whichever is faster."""
        for number in range(5):
            message = f"{ID}-{number}"
            owners = [_runs(bench), _runs(bench)]
            stale, run = (
                notes.start(message, "t", owner=owner, attempt=1, keep=None)
                for notes, owner in zip(owners, "ab", strict=True)
            )
            assert isinstance(stale, Run)
            assert isinstance(run, Run)
            calls: list[Callable[[], bool]] = [
                partial(one.end, RunState.SUCCEEDED, result=text) for one, text in ((stale, b"stale"), (run, b"right"))
            ]
            assert bench.together(calls) == [False, True]

    def test_progress_is_noted(self, bench: StoreBench) -> None:
        """With the time of the note; a report without any leaves it as it was."""
        run = _started(bench)
        assert run.report(3, 10)
        assert run.report(None, None)
        record = _seen(bench).record
        assert (record.done, record.total) == (3, 10)

    def test_a_silent_worker_is_noticed(self, bench: StoreBench) -> None:
        """By the age of its note."""
        run = _started(bench)
        assert not _seen(bench).is_silent
        bench.advance(timedelta(minutes=1))
        assert _seen(bench).is_silent
        assert run.report(None, None)
        assert not _seen(bench).is_silent

    def test_a_waiting_message_that_is_cancelled_never_starts(self, bench: StoreBench) -> None:
        """Then it is cancelled for good."""
        _runs(bench).track(ID, "t")
        assert _runs(bench).cancel(ID) is CancelAnswer.WILL_NOT_RUN
        assert _runs(bench).cancel(ID) is CancelAnswer.WILL_NOT_RUN
        assert _runs(bench).start(ID, "t", owner="a", attempt=1, keep=None) is RunState.CANCELLED
        assert _seen(bench).record.state is RunState.CANCELLED
        assert _runs(bench).start(ID, "t", owner="b", attempt=1, keep=None) is RunState.CANCELLED
        assert _runs(bench).cancel(ID) is CancelAnswer.TOO_LATE

    def test_a_wish_to_cancel_outlives_a_long_delay(self, bench: StoreBench) -> None:
        """It is kept for as long as the message that it is about."""
        _runs(bench).track(ID, "t", delay=timedelta(days=100))
        assert _runs(bench).cancel(ID) is CancelAnswer.WILL_NOT_RUN
        bench.advance(timedelta(days=110))
        assert _runs(bench).start(ID, "t", owner="a", attempt=1, keep=None) is RunState.CANCELLED

    def test_a_run_reads_that_it_is_not_wanted_any_more(self, bench: StoreBench) -> None:
        """At its next report."""
        run = _started(bench)
        assert _runs(bench).cancel(ID) is CancelAnswer.ASKED
        before = run.unwanted
        assert run.report(None, None)
        assert (before, run.unwanted) == (False, True)
        assert run.end(RunState.CANCELLED)
        assert _seen(bench).record.state is RunState.CANCELLED

    def test_of_a_cancellation_and_a_start_one_is_first(self, bench: StoreBench) -> None:
        """A message that won't run doesn't; one that runs reads the wish."""
        for number in range(10):
            message = f"{ID}-{number}"
            _runs(bench).track(message, "t")
            calls: list[Callable[[], Run | RunState | CancelAnswer]] = [
                partial(_runs(bench).start, message, "t", owner="a", attempt=1, keep=None),
                partial(_runs(bench).cancel, message),
            ]
            run, answer = bench.together(calls)
            if isinstance(run, Run):
                assert answer is CancelAnswer.ASKED
                assert run.report(None, None)
                assert run.unwanted
            else:
                assert (run, answer) == (RunState.CANCELLED, CancelAnswer.WILL_NOT_RUN)

    def test_what_failed_and_is_not_wanted_is_not_tried_again(self, bench: StoreBench) -> None:
        """Whether the wish came before its failure or after."""
        assert _started(bench).end(RunState.RETRIED, "no disk")
        assert _runs(bench).cancel(ID) is CancelAnswer.WILL_NOT_RUN
        assert _runs(bench).start(ID, "t", owner="b", attempt=2, keep=None) is RunState.CANCELLED

    def test_a_dead_letter_that_was_sent_again_has_a_new_run(self, bench: StoreBench) -> None:
        """And its result."""
        assert _started(bench, "a").end(RunState.DEAD_LETTERED, "no disk")
        assert _runs(bench).cancel(ID) is CancelAnswer.TOO_LATE
        assert _seen(bench).record.reason == "no disk"
        assert _started(bench, "b").end(RunState.SUCCEEDED, result=b"42")
        record = _seen(bench).record
        assert (record.state, record.reason, record.result) == (RunState.SUCCEEDED, "", b"42")

    def test_what_is_dead_without_a_run_is_noted(self, bench: StoreBench) -> None:
        """In place of a run whose worker died, but not of what is done."""
        _started(bench)
        _runs(bench).bury(ID, "t", RunState.DEAD_LETTERED, "it kills its worker", keep=None)
        assert (_seen(bench).record.state, _seen(bench).record.attempt) == (RunState.DEAD_LETTERED, 1)
        _runs(bench).know(ID, "t", b"42", "", keep=None)
        _runs(bench).bury(ID, "t", RunState.DEAD_LETTERED, "late", keep=None)
        assert (_seen(bench).record.state, _seen(bench).record.result) == (RunState.SUCCEEDED, b"42")

    def test_what_expired_without_a_run_is_noted(self, bench: StoreBench) -> None:
        """And begins anew if it is sent again with more time."""
        _runs(bench).track(ID, "t")
        _runs(bench).bury(ID, "t", RunState.EXPIRED, "expired 4 min ago", keep=None)
        assert (_seen(bench).record.state, _seen(bench).record.reason) == (RunState.EXPIRED, "expired 4 min ago")
        assert _runs(bench).cancel(ID) is CancelAnswer.TOO_LATE
        assert _started(bench).end(RunState.SUCCEEDED, result=b"42")

    def test_a_run_that_is_given_back_waits(self, bench: StoreBench) -> None:
        """And is started again, under its number."""
        assert _started(bench).end(RunState.WAITING)
        assert _seen(bench).record.state is RunState.WAITING
        _started(bench, "b")

    def test_what_is_not_noted_is_unknown(self, bench: StoreBench) -> None:
        """It can't be cancelled."""
        assert _runs(bench).cancel(ID) is CancelAnswer.UNKNOWN
        assert _runs(bench).look(ID) is None

    def test_notes_of_runs_go_in_time(self, bench: StoreBench) -> None:
        """A result after what its task says; a run that never ended after a month."""
        kept = 10 * bench.unit
        assert _started(bench, keep=kept).end(RunState.SUCCEEDED, result=b"42")
        bench.advance(kept - bench.unit)
        assert _seen(bench).record.result == b"42"
        bench.advance(2 * bench.unit)
        assert _runs(bench).look(ID) is None
        _started(bench)
        bench.advance(KEPT_UNFINISHED - KEPT_ENDED)
        assert _seen(bench).record.state is RunState.RUNNING
        bench.advance(KEPT_ENDED + bench.unit)
        assert _runs(bench).look(ID) is None
