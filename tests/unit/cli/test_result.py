"""`cloudq result`, on the store beside the shop's file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from cloudq import App
from cloudq.core.run_life import RunState
from cloudq.core.run_notes import Run, RunNotes


@pytest.fixture
def notes(shop) -> Iterator[RunNotes]:
    """Those of the shop's store, as a worker writes them."""
    app = App(shop.url)
    app.send("shop.welcome", {"user_id": 42})
    yield app.runtime.results.notes()
    app.close()


def started(notes: RunNotes) -> Run:
    run = notes.start("1", "shop.welcome", owner="w", attempt=2, keep=None)
    assert isinstance(run, Run)
    return run


def test_what_is_not_noted_is_unknown(cli, notes):
    """That is no error, but exit code 1."""
    result = cli("result", "1")
    assert 1 == result.code
    assert "unknown" in result.out


def test_a_result_is_shown(cli, notes):
    """With its status; 0: it is done."""
    run = started(notes)
    run.report(3, 4)
    run.end(RunState.SUCCEEDED, result=b'{"total":3}')
    result = cli("result", "1")
    assert 0 == result.code
    for word in ("succeeded", "shop.welcome", "3 of 4", '{"total":3}'):
        assert word in result.out


@pytest.mark.parametrize("state", [RunState.RETRIED, RunState.DEAD_LETTERED, RunState.CANCELLED])
def test_what_is_not_done_is_exit_code_1(cli, notes, state):
    """And says why."""
    started(notes).end(state, "no disk")
    result = cli("result", "1")
    assert 1 == result.code
    assert state.value in result.out
    assert "no disk" in result.out


def test_a_wish_is_shown(cli, notes):
    """While its worker hasn't read it."""
    started(notes)
    notes.cancel("1")
    assert "its worker is to stop it" in cli("result", "1").out


def test_json(cli, notes):
    """All of it, for programs; the value only if it is kept."""
    run = started(notes)
    running = json.loads(cli("result", "1", "--json").out)
    assert ("running", False) == (running["status"], running["kept"])
    assert "value" not in running
    run.end(RunState.SUCCEEDED, result=b"null")
    done = json.loads(cli("result", "1", "--json").out)
    assert ("succeeded", True, None) == (done["status"], done["kept"], done["value"])


def test_wait(cli, notes):
    """Ends at once where nothing follows; else when the time is over."""
    run = started(notes)
    assert 1 == cli("result", "1", "--wait", "600ms").code
    run.end(RunState.DEAD_LETTERED, "no disk")
    assert 1 == cli("result", "1", "--wait", "1h").code


def test_a_wrong_span_is_refused(cli, notes):
    """As every other one."""
    result = cli("result", "1", "--wait", "soon")
    assert 2 == result.code
    assert "--wait" in result.err


def test_without_a_store(cli, shop, monkeypatch):
    """Exit code 2, and how to have one."""
    monkeypatch.setenv("CLOUDQ_STORE_URL", "none")
    app = App(shop.url)
    app.send("shop.welcome", {"user_id": 42})
    app.close()
    result = cli("result", "1")
    assert 2 == result.code
    assert "CLOUDQ_STORE_URL" in result.err


def test_a_database_that_is_new(cli, shop, tmp_path):
    """Isn't made."""
    result = cli("result", "1", "--backend", f"sqlite:///{tmp_path}/other.db")
    assert 1 == result.code
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize(
    ("state", "code", "answer"),
    [
        (None, 1, "unknown"),
        (RunState.WAITING, 0, "will not run"),
        (RunState.RUNNING, 0, "asked"),
        (RunState.SUCCEEDED, 1, "too late"),
    ],
)
def test_cancel_by_id(cli, notes, state, code, answer):
    """Each answer, for people and for programs."""
    if state is not None:
        run = started(notes)
        if state is not RunState.RUNNING:
            run.end(state)
    result = cli("cancel", "1", "--json")
    assert code == result.code
    assert {"id": "1", "cancelled": code == 0, "answer": answer} == json.loads(result.out)
    result = cli("cancel", "1")
    assert code == result.code
    assert "message 1" in (result.err if code else result.out)


def test_a_long_time_is_kept(notes):
    """A result is read in another process, later."""
    started(notes).end(RunState.SUCCEEDED, result=b"7")
    seen = notes.look("1")
    assert seen is not None
    assert seen.age < timedelta(minutes=1)


def test_nothing_in_it_moves_the_terminal(cli, notes):
    """Neither a reason nor a result: both may hold what a stranger wrote."""
    started(notes).end(RunState.DEAD_LETTERED, "\x1b[2J gone")
    assert "\x1b" not in cli("result", "1").out
    notes.start("1", "shop.welcome", owner="again", attempt=1, keep=None).end(
        RunState.SUCCEEDED, result='"\\u009b2J \u009b"'.encode()
    )
    shown = cli("result", "1").out
    assert "\x9b" not in shown
    assert "result" in shown
