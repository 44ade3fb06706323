"""How a redrive, an edit or an import ends."""

from __future__ import annotations

import json

import pytest

from cloudq.cli.dlq.report import Watch, end, tell_errors, watched
from cloudq.errors import BackendUnavailable
from cloudq.queues.dead_letters import Redriven


def ended(capsys: pytest.CaptureFixture[str], done: Redriven, meant: int, **options: bool) -> tuple[int, str, str]:
    code = 0
    try:
        end("emails", done, meant, said="redrove", **{"json": False, **options})
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    return (code, *capsys.readouterr())


def test_all_were_sent(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing on stderr, and 0."""
    assert (0, "redrove 2 of 2 dead letters of queue 'emails'\n", "") == ended(
        capsys, Redriven(redriven=2, chosen=2), 2
    )


@pytest.mark.parametrize(
    ("done", "meant"),
    [
        (Redriven(redriven=1, chosen=2, missed=1), 2),
        (Redriven(redriven=1, chosen=1), 2),
        (Redriven(redriven=1, chosen=2, errors=(ValueError("x"),)), 2),
        (Redriven(redriven=2, chosen=2, errors=(ValueError("its deletion"),)), 2),
    ],
)
def test_not_all_were_sent(capsys: pytest.CaptureFixture[str], done: Redriven, meant: int) -> None:
    """Some were taken by others, weren't there, failed, or may be in both places: 1."""
    assert 1 == ended(capsys, done, meant)[0]


def test_what_was_sent_and_not_deleted_is_left_too(capsys: pytest.CaptureFixture[str]) -> None:
    """It is still dead: a program that waits for 0 left doesn't take it for done."""
    done = Redriven(redriven=2, chosen=3, errors=(ValueError("a"),), missed=1, undeleted=1)
    code, out, err = ended(capsys, done, 3, json=True)
    assert (1, 2, 2) == (code, json.loads(out)["redriven"], json.loads(out)["left"])
    assert "1 were sent, and are still here, too" in err


def test_an_unreachable_backend_is_3(capsys: pytest.CaptureFixture[str]) -> None:
    """As with every other command; where something else failed, too, it is 1."""
    down = BackendUnavailable("line 1: no answer")
    assert 3 == ended(capsys, Redriven(redriven=0, chosen=2, errors=(down, down)), 2)[0]
    assert 1 == ended(capsys, Redriven(redriven=0, chosen=2, errors=(down, ValueError("x"))), 2)[0]


def test_for_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    """All of the errors; of a dry run how many were meant."""
    done = Redriven(redriven=1, chosen=3, missed=1, errors=(ValueError("a"),))
    code, out, _ = ended(capsys, done, 3, json=True)
    assert (1, {"queue": "emails", "redriven": 1, "left": 2, "errors": ["a"]}) == (code, json.loads(out))
    code, out, _ = ended(capsys, Redriven(redriven=0, chosen=3), 3, json=True, dry_run=True)
    assert (0, 3, True) == (code, json.loads(out)["chosen"], json.loads(out)["dry_run"])


def test_a_dry_run_says_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    """And is 1 if some could not be."""
    code, out, _ = ended(capsys, Redriven(redriven=0, chosen=3), 3, dry_run=True)
    assert (0, "3 of 3 would be sent to queue 'emails'; nothing was changed\n") == (code, out)
    assert 1 == ended(capsys, Redriven(redriven=0, chosen=3, errors=(ValueError("a"),)), 3, dry_run=True)[0]


def test_many_errors_are_told_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    """Each once, with how often; very many kinds end."""
    tell_errors([ValueError("a")] * 3 + [ValueError(str(number)) for number in range(30)])
    lines = capsys.readouterr().err.splitlines()
    assert ("error: a (3 times)", "error: 0", "and 11 other errors: --json has all of them") == (*lines[:2], lines[-1])


def test_an_interruption_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """And passes: the exit code is the interruption's."""

    def interrupted() -> None:
        with watched("redriving", 10, lambda done: f"cloudq dlq redrive emails --limit {9 - done.redriven}") as watch:
            watch.update(Redriven(redriven=4, chosen=10))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    said = capsys.readouterr().err
    assert "interrupted: 4 were sent" in said
    assert "go on with: cloudq dlq redrive emails --limit 5\n" in said


@pytest.mark.parametrize("cause", [KeyboardInterrupt(), OSError("the file is gone")])
def test_what_is_cut_short_says_what_failed_by_then(capsys: pytest.CaptureFixture[str], cause: BaseException) -> None:
    """All of it: the command that goes on begins behind it."""
    done = Redriven(redriven=4, chosen=34, errors=[ValueError(f"line {number}") for number in range(30)])

    def cut_short() -> None:
        with watched("importing", 99, lambda done: f"cloudq dlq import q f --from-line {done.chosen + 1}") as watch:
            watch.update(done)
            raise cause

    with pytest.raises(type(cause)):
        cut_short()
    said = capsys.readouterr().err
    assert all(f"error: line {number}\n" in said for number in range(30))
    assert "4 were sent" in said
    assert "go on with: cloudq dlq import q f --from-line 35\n" in said


def test_what_fails_at_once_has_nothing_to_go_on_from(capsys: pytest.CaptureFixture[str]) -> None:
    """Its error is told by who catches it."""
    with pytest.raises(OSError, match="no such file"), watched("importing", 0, lambda _: "x"):
        raise OSError("no such file")
    assert "" == capsys.readouterr().err


def test_an_interruption_of_what_is_done_goes_on_with_nothing(cli, bury, make_body, folder, monkeypatch):
    """Not with a command without its limit, nor with one of 0."""
    update = Watch.update

    def interrupted(self, done):
        update(self, done)
        raise KeyboardInterrupt

    bury("emails", [make_body(0), make_body(1)])
    file = folder.path / "emails.jsonl"
    file.write_text(cli("dlq", "export", "emails").out)
    monkeypatch.setattr(Watch, "update", interrupted)
    for verb in (("import", "emails", str(file)), ("redrive", "emails", "--all")):
        result = cli("dlq", *verb, "--limit", "1")
        assert 130 == result.code
        assert "go on with: nothing: all that were meant are done\n" in result.err
