"""The command line as a process: its last frame, its exit code, its streams."""

from __future__ import annotations

import json
import sys
from io import StringIO

import pytest

from cloudq.cli import main, version


def test_unexpected_error_is_1_without_traceback(cli, monkeypatch):
    """A defect ends with 1, one line and the way to the traceback; --debug shows it, wherever it stands."""
    monkeypatch.setattr(version.version, "__code__", (lambda *, json=False, _debug=False: 1 // 0).__code__)
    plain = cli("version")
    assert (1, "") == (plain.code, plain.out)
    assert plain.err.startswith("cloudq: ZeroDivisionError")
    assert "--debug" in plain.err
    assert "Traceback" not in plain.err
    assert "Traceback" in cli("version", "--debug").err
    assert "Traceback" in cli("--debug", "version").err


def _interrupted(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("command", "where"),
    [
        ("version", "cloudq.cli.version.write"),
        ("send t", "cloudq.cli.send.any_app"),
        ("send t --debug", "cloudq.cli.send.any_app"),
    ],
    ids=["by typer", "directly", "with --debug"],
)
def test_interrupt_is_130(cli, monkeypatch, command, where):
    """Ctrl-C ends with 130 and no traceback, whichever way the command is called."""
    monkeypatch.setattr(where, _interrupted)
    result = cli(*command.split())
    assert (130, "cloudq: interrupted\n") == (result.code, result.err)


@pytest.mark.parametrize("command", ["version", "send t"], ids=["by typer", "directly"])
def test_an_interrupt_begins_a_line_on_a_terminal(cli, monkeypatch, command):
    """What was shown by then may stand in an unfinished one."""
    monkeypatch.setattr("cloudq.cli.version.write", _interrupted)
    monkeypatch.setattr("cloudq.cli.send.any_app", _interrupted)
    monkeypatch.setattr("cloudq.cli.process.is_terminal", lambda _: True)
    assert "\ncloudq: interrupted\n" == cli(*command.split()).err


class Full(StringIO):
    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def test_full_disk_at_the_end_is_1(monkeypatch, capsys):
    """Output that couldn't be written is a failure, though the command itself was done."""
    monkeypatch.setattr(sys, "stdout", Full())
    assert 1 == main(["version"])
    assert "No space left" in capsys.readouterr().err


class Gone(StringIO):
    """A pipe whose reader has ended, as `| true` does, under PYTHONUNBUFFERED."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("command", ["send shop.welcome --backend sqlite:///queue.db", "tasks --app shop"])
def test_a_reader_that_has_gone_is_1_and_nothing_is_said(shop, monkeypatch, capsys, command):
    """Whichever way the command is called."""
    monkeypatch.setattr(sys, "stdout", Gone())
    assert 1 == main(command.split())
    assert "Broken" not in capsys.readouterr().err


def test_another_pipe_that_breaks_is_an_error(shop, monkeypatch, capsys):
    """That of a connection, say: it is said."""

    def broken(*_: object, **__: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("cloudq.cli.send.any_app", broken)
    assert 1 == main(["send", "shop.welcome", "--backend", "sqlite:///queue.db"])
    assert "BrokenPipeError" in capsys.readouterr().err


# ── under --log-format json ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["worker", "--log-format", "json"], 2, "no app"),
        (["worker", "--log-format=json", "--app", "nowhere"], 2, "there is no module 'nowhere'"),
        (["worker", "--log-format=json", "--app", "shop", "--log-level", "loud"], 2, "there is no log level 'loud'"),
        (["worker", "--log-format=json", "--bogus"], 2, "--bogus"),
        (["--debug", "worker", "--log-format=json", "--bogus"], 2, "--bogus"),
        (["outbox", "relay", "--log-format", "json"], 2, "no outbox is named"),
        (["worker", "--log-format=json", "--app", "broken", "--burst"], 1, "ZeroDivisionError"),
    ],
    ids=["no app", "no module", "no level", "no option", "no option, debug", "relay", "unexpected"],
)
def test_what_goes_wrong_at_the_start_is_one_json_line_each(cli, shop, words, code, said):
    """With the exit code; an error of ours with its hint and its code, one that nobody expected with its traceback.

    A hook that fails is named by a line before it.
    """
    broken = "from shop import app\n@app.on_start\ndef divide() -> None:\n    1 // 0\n"
    (shop.path / "broken.py").write_text(broken)
    result = cli(*words)
    assert (code, "") == (result.code, result.out)
    lines = [json.loads(line) for line in result.err.splitlines()]
    *before, line = [line for line in lines if line["level"] == "error"]
    assert (["on_start: divide failed"] if "broken" in words else []) == [one["message"] for one in before]
    assert said.lower() in line["message"].lower()
    assert code == line["exit_code"]
    if said == "ZeroDivisionError":
        assert "broken.py" in line["traceback"]
    assert not cli("worker", "--app", "nowhere").err.startswith("{")


def test_a_note_is_a_json_line_too(cli, shop):
    """As is each of Python's warnings."""
    (shop.path / "warns.py").write_text(
        "import warnings\nwarnings.simplefilter('always')\nwarnings.warn('old')\nfrom shop import app\n"
    )
    result = cli("worker", "--app", "warns", "--burst", "--queue", "emials", "--log-format", "json")
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert {"py.warnings", "cloudq", "cloudq.worker"} == {line["logger"] for line in lines}
    [note] = [line for line in lines if line["logger"] == "cloudq"]
    assert ("warning", True) == (note["level"], note["message"].startswith("no task declares queue 'emials'"))
