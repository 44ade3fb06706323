"""The table of a message's run, and what becomes of its record."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core import run_life
from cloudq.core.run_life import TABLE, Call, Does, RunRecord, RunState, Seen, seen_in


def record(state: RunState, owner: str = "", *, unwanted: bool = False) -> RunRecord:
    return RunRecord(task="t", state=state, owner=owner, unwanted=unwanted)


def test_every_call_has_an_answer_for_all_that_can_be_seen() -> None:
    """The table has no gap."""
    assert set(TABLE) == set(Call)
    assert all(set(row) == set(Seen) for row in TABLE.values())


@pytest.mark.parametrize(
    ("noted", "seen"),
    [
        (None, Seen.NOTHING),
        (record(RunState.WAITING), Seen.WAITING),
        (record(RunState.WAITING, unwanted=True), Seen.UNWANTED),
        (record(RunState.RETRIED, unwanted=True), Seen.UNWANTED),
        (record(RunState.RETRIED, "me"), Seen.RETRIED),
        (record(RunState.RUNNING, "me"), Seen.OWN),
        (record(RunState.RUNNING, "me", unwanted=True), Seen.OWN),
        (record(RunState.RUNNING, "other"), Seen.OTHERS),
        (record(RunState.RUNNING, "other", unwanted=True), Seen.UNWANTED),
        (record(RunState.SUCCEEDED, "me"), Seen.OWN_ENDED),
        (record(RunState.SUCCEEDED, "other"), Seen.SUCCEEDED),
        (record(RunState.SUCCEEDED, "other", unwanted=True), Seen.SUCCEEDED),
        (record(RunState.DEAD_LETTERED), Seen.DEAD_LETTERED),
        (record(RunState.EXPIRED, unwanted=True), Seen.EXPIRED),
        (record(RunState.CANCELLED, unwanted=True), Seen.CANCELLED),
    ],
)
def test_what_a_record_is_to_the_one_who_asks(noted: RunRecord | None, seen: Seen) -> None:
    """A run that wants it done."""
    assert seen_in(noted, "me", RunState.SUCCEEDED) is seen


def test_only_the_owner_reports_and_ends() -> None:
    """Rule 1."""
    assert [seen for seen in Seen if TABLE[Call.REPORT][seen] is Does.NOTES] == [Seen.OWN]
    assert [seen for seen in Seen if TABLE[Call.END][seen] is Does.NOTES] == [Seen.OWN]


def test_what_is_done_stays_done() -> None:
    """Rule 2: no call changes it."""
    assert {TABLE[call][Seen.SUCCEEDED] for call in Call} == {Does.AGREES, Does.REFUSES}


def test_what_is_cancelled_never_starts() -> None:
    """Rule 3: neither once it is noted as such, nor while somebody's wish is."""
    assert TABLE[Call.START][Seen.UNWANTED] is Does.CANCELS
    assert TABLE[Call.START][Seen.CANCELLED] is Does.REFUSES


def test_a_wish_stays_until_the_end() -> None:
    """A run that takes over has it; one that follows a redrive hasn't."""
    assert run_life.started(record(RunState.RUNNING, "a", unwanted=True), "t", "b", 2).unwanted
    assert not run_life.started(record(RunState.DEAD_LETTERED, "a", unwanted=True), "t", "b", 2).unwanted


def test_a_run_that_begins_knows_nothing_of_the_one_before() -> None:
    """Neither its progress nor why it failed."""
    before = RunRecord(task="t", state=RunState.RETRIED, owner="a", attempt=1, done=3, total=4, reason="no disk")
    assert run_life.started(before, "t", "b", 2) == RunRecord(task="t", state=RunState.RUNNING, owner="b", attempt=2)


def test_reasons_are_bounded() -> None:
    """They may be a task's own texts."""
    end = run_life.ended(record(RunState.RUNNING, "a"), RunState.DEAD_LETTERED, "x" * 5_000, None)
    assert len(end.reason) == run_life.LONGEST_REASON


def test_reasons_can_be_stored() -> None:
    """Of a file name that isn't UTF-8, say."""
    assert run_life.ended(record(RunState.RUNNING, "a"), RunState.RETRIED, "no \udcff", None).reason == "no ?"


def test_for_how_long_notes_are_kept() -> None:
    """What has ended well for as long as the task says, the rest for longer than a message lives.

    What is cancelled for a day at least: it isn't acknowledged yet.
    """
    hour = timedelta(hours=1)
    assert run_life.kept_for(RunState.SUCCEEDED, hour) == hour
    assert run_life.kept_for(RunState.SUCCEEDED, None) == timedelta(days=1)
    assert run_life.kept_for(RunState.CANCELLED, hour) == timedelta(days=1)
    assert run_life.kept_for(RunState.CANCELLED, timedelta(days=2)) == timedelta(days=2)
    assert run_life.kept_for(RunState.EXPIRED, hour) == hour
    assert {
        run_life.kept_for(state, hour) for state in (RunState.WAITING, RunState.RUNNING, RunState.DEAD_LETTERED)
    } == {timedelta(days=31)}
    assert run_life.kept_for(RunState.RETRIED, timedelta(days=90)) == timedelta(days=90)
