"""`cloudq dlq export`, `import`."""

from __future__ import annotations

import io
import json
import sys

import pytest

from cloudq import App
from cloudq.cli import main
from cloudq.cli.dlq import exchange
from cloudq.cli.output import Nowhere
from cloudq.core.redriving import edits_of
from tests.unit.cli.dlq.interrupted import interrupt_storing

POISON = b"\xff\x00{not json\x1b[2J"


@pytest.fixture
def three(bury, make_body):
    """Three dead letters of the queue emails, the last of them undecodable; their keys."""
    return bury("emails", [make_body(0), make_body(1), POISON])


def stats(folder, queue="emails"):
    app = App(folder.url)
    found = app.queue(queue).stats()
    app.close()
    return found


def test_an_export_takes_nothing(cli, folder, three):
    """A line each on stdout, how many on stderr."""
    result = cli("dlq", "export", "emails")
    assert (0, "exported 3 dead letters of queue 'emails'\n") == (result.code, result.err)
    assert three == [json.loads(line)["key"] for line in result.out.splitlines()]
    assert 3 == stats(folder).dead


def test_an_export_of_some(cli, three):
    """By a condition, up to a limit, from behind a key."""
    assert three[:2] == keys_of(cli("dlq", "export", "emails", "--where", "task=shop.*"))
    assert three[1:2] == keys_of(cli("dlq", "export", "emails", "--after", three[0], "--limit", "1"))


def test_an_export_of_an_empty_condition_is_2(cli, three):
    """`--where "$UNSET"` doesn't mean all of them, as little as with the other verbs; nor does it to list."""
    for verb in ("export", "list"):
        result = cli("dlq", verb, "emails", "--where", "")
        assert (2, "") == (result.code, result.out)
        assert "the condition is empty" in result.err


def keys_of(result):
    return [json.loads(line)["key"] for line in result.out.splitlines()]


@pytest.fixture
def exported(cli, folder, three):
    """The file of an export; the dead letters are purged."""
    file = folder.path / "emails.jsonl"
    file.write_text(cli("dlq", "export", "emails").out)
    assert 0 == cli("dlq", "purge", "emails", "--all", "--yes").code
    return file


def test_an_import_sends_all(cli, folder, exported):
    """They are in their queue, and can be worked on."""
    assert (0, "imported 3 of 3 dead letters of queue 'emails'\n", "") == cli("dlq", "import", "emails", str(exported))
    assert (3, 0) == (stats(folder).ready, stats(folder).dead)


def test_an_import_from_stdin(cli, folder, exported, monkeypatch):
    """As a filter's end."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(exported.read_bytes())))
    result = cli("dlq", "import", "emails", "-", "--json")
    assert {"queue": "emails", "redriven": 3, "left": 0, "errors": []} == json.loads(result.out)
    assert 3 == stats(folder).ready


def test_a_bad_line_is_named_and_the_others_go_on(cli, folder, exported):
    """Exit code 1."""
    lines = exported.read_text().splitlines()
    exported.write_text("\n".join([lines[0], "no json", lines[1]]))
    result = cli("dlq", "import", "emails", str(exported))
    assert (1, 2) == (result.code, stats(folder).ready)
    assert "error: line 2: it isn't what an export writes" in result.err


def test_a_dry_run_and_a_part(cli, folder, exported):
    """Nothing is sent; from a line on, at most so many."""
    assert 0 == cli("dlq", "import", "emails", str(exported), "--dry-run").code
    assert 0 == stats(folder).ready
    cli("dlq", "import", "emails", str(exported), "--from-line", "2", "--limit", "1")
    assert 1 == stats(folder).ready


def test_an_edit_in_the_file_is_noted_with_who(cli, folder, exported):
    """The user and the machine."""
    first = json.loads(exported.read_text().splitlines()[0])
    exported.write_text(json.dumps({**first, "edit": {"payload": {"user_id": 7}}}))
    assert 0 == cli("dlq", "import", "emails", str(exported)).code
    app = App(folder.url)
    from datetime import timedelta

    [delivery] = app.driver().receive("emails", limit=1, wait=timedelta(0), lease=timedelta(minutes=1))
    app.close()
    assert {"user_id": 7} == delivery.message.payload
    assert "@" in edits_of(delivery.message)[0].by


def test_a_file_that_isnt_there_is_2(cli, folder):
    """And makes no database."""
    result = cli("dlq", "import", "emails", "nowhere.jsonl")
    assert 2 == result.code
    assert "nowhere.jsonl can't be read" in result.err


def test_an_export_to_a_closed_stdout_is_2(cli, three, monkeypatch, capsys):
    """Nothing would be written, and `&& cloudq dlq purge` would lose them; to the null device it may be meant."""
    with monkeypatch.context() as patched, Nowhere("w") as closed:
        patched.setattr(sys, "stdout", closed)
        assert 2 == main(["dlq", "export", "emails"])
    assert "stdout is closed" in capsys.readouterr().err
    assert 0 == cli("dlq", "export", "emails").code


def test_an_import_from_a_closed_stdin_is_2(cli, folder, three, monkeypatch):
    """It isn't an empty file."""
    with Nowhere("r") as closed:
        monkeypatch.setattr(sys, "stdin", closed)
        result = cli("dlq", "import", "emails", "-")
    assert (2, "") == (result.code, result.out)
    assert "stdin is closed" in result.err


def test_a_line_behind_the_end_is_2(cli, folder, exported):
    """It is a slip: nothing was imported. The one behind the last is where an import that was whole ended."""
    assert (0, "imported 0 of 0 dead letters of queue 'emails'\n", "") == cli(
        "dlq", "import", "emails", str(exported), "--from-line", "4"
    )
    result = cli("dlq", "import", "emails", str(exported), "--from-line", "5")
    assert (2, "") == (result.code, result.out)
    assert "--from-line 5 is behind the last line, 3" in result.err


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_what_powershell_wrote_is_told(cli, folder, exported, encoding):
    """And nothing of it is imported: what it decoded and wrote anew may be another text."""
    exported.write_text(exported.read_text(), encoding)
    result = cli("dlq", "import", "emails", str(exported))
    assert (2, "", 0) == (result.code, result.out, stats(folder).ready)
    assert "begins with a byte order mark" in result.err
    assert "PowerShell" in result.err


def test_a_line_without_end_is_not_held(cli, folder, exported, monkeypatch):
    """It is refused by its length, and the next line is the next."""
    monkeypatch.setattr(exchange, "LONGEST_LINE", 2_000)
    monkeypatch.setattr("cloudq.queues.letters.exchange.LONGEST_LINE", 2_000)
    lines = exported.read_text().splitlines()
    exported.write_text("\n".join(["x" * 10_000, lines[0]]))
    result = cli("dlq", "import", "emails", str(exported))
    assert (1, 1) == (result.code, stats(folder).ready)
    assert "line 1: it has 2,001 bytes" in result.err


def test_an_interruption_says_from_which_line_to_go_on(cli, folder, exported, monkeypatch):
    """Behind what was sent: what is sent twice is so by one batch at most."""
    monkeypatch.setattr("cloudq.queues.letters.exchange._BATCH", 1)
    interrupt_storing(monkeypatch, 3)
    file = exported.rename(folder.path / "all of them.jsonl")
    how = ["--rate", "1000/s", "--backend", folder.url]
    result = cli("dlq", "import", "emails", str(file), "--limit", "3", *how)
    assert 130 == result.code
    assert f"go on with: cloudq dlq import emails '{file}' --from-line 3 --limit 1 {' '.join(how)}\n" in result.err
    assert 2 == stats(folder).ready
