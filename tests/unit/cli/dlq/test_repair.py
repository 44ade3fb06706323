"""`cloudq dlq redrive`, `edit`, `purge`."""

from __future__ import annotations

import json
import re
import shlex
import sys
from datetime import timedelta

import pytest

from cloudq import App
from cloudq.cli import main
from cloudq.cli.dlq import repair
from cloudq.core import wire
from cloudq.core.redriving import edits_of, times_redriven
from cloudq.core.signatures import fault_in, sign
from cloudq.core.signing_keys import parse_signing_keys
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


def messages(folder, queue="emails"):
    """What is in the queue, by what its bodies say."""
    app = App(folder.url)
    taken = app.driver().receive(queue, limit=100, wait=timedelta(0), lease=timedelta(minutes=1))
    app.close()
    return [delivery.message for delivery in taken]


# ── redrive ──────────────────────────────────────────────────────────────────────────────────────────────


def test_redrive_a_selection(cli, folder, three):
    """The named ones are in their queue again, the others stay."""
    result = cli("dlq", "redrive", "emails", three[0])
    assert (0, "redrove 1 of 1 dead letters of queue 'emails'\n", "") == result
    assert (1, 2) == (stats(folder).ready, stats(folder).dead)


def test_redrive_all(cli, folder, three):
    """All of them, batch by batch, poison too."""
    result = cli("dlq", "redrive", "emails", "--all", "--json")
    assert {"queue": "emails", "redriven": 3, "left": 0, "errors": []} == json.loads(result.out)
    assert (0, 3, 0) == (result.code, stats(folder).ready, stats(folder).dead)


def test_redrive_up_to_a_limit(cli, folder, three):
    """`--limit` takes the oldest."""
    cli("dlq", "redrive", "emails", "--all", "--limit", "2")
    assert (2, 1) == (stats(folder).ready, stats(folder).dead)


def test_redrive_what_isnt_there(cli, folder, three):
    """A key that none has ends with 1 and is named; the others are redriven."""
    result = cli("dlq", "redrive", "emails", three[0], "999")
    assert (1, "redrove 1 of 2 dead letters of queue 'emails'\n") == result[:2]
    assert "'999'" in result.err


def test_redrive_what_somebody_else_took(cli, folder, three):
    """What another redrive has in its hands stays there, and that is said."""
    app = App(folder.url)
    app.driver().dead_letters("emails").take(three[:1], limit=1, lease=timedelta(minutes=5))
    app.close()
    result = cli("dlq", "redrive", "emails", "--all", "--json")
    assert (1, 2, 1) == (result.code, json.loads(result.out)["redriven"], json.loads(result.out)["left"])
    assert "1 were left: somebody else" in result.err


def test_redrive_of_what(cli, three):
    """Nothing is redriven unasked: keys or --all have to be given."""
    assert [2, 2] == [cli("dlq", "redrive", "emails", *rest).code for rest in ((), ("1", "--all"))]


def test_redrive_shows_progress_on_a_terminal(three, monkeypatch, terminal):
    """A person sees a bar on stderr; stdout stays data."""
    monkeypatch.setenv("TERM", "xterm")
    stderr, stdout = terminal(), terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(sys, "stdout", stdout)
    assert 0 == main(["dlq", "redrive", "emails", "--all"])
    assert "redriving" in stderr.getvalue()
    assert "redrove 3 of 3 dead letters of queue 'emails'\n" == stdout.getvalue()


# ── purge ────────────────────────────────────────────────────────────────────────────────────────────────


def test_purge_asks(cli, folder, three, person):
    """A person is asked, with the number; yes deletes them, no nothing."""
    person("n\n")
    assert 1 == cli("dlq", "purge", "emails", "--all").code
    assert 3 == stats(folder).dead
    person("y\n")
    result = cli("dlq", "purge", "emails", "--all")
    assert (0, "deleted 3 dead letters of queue 'emails'\n") == result[:2]
    assert f"Delete 3 dead letters of queue 'emails' in {folder.url} for good? [y/N] " == result.err
    assert 0 == stats(folder).dead


def test_purge_off_a_terminal_needs_yes(cli, folder, three):
    """Where nobody can be asked nothing is deleted without --yes."""
    refused = cli("dlq", "purge", "emails", three[0])
    assert (2, "", 3) == (refused.code, refused.out, stats(folder).dead)
    done = cli("dlq", "purge", "emails", three[0], "--yes", "--json")
    assert {"queue": "emails", "deleted": 1} == json.loads(done.out)
    assert 2 == stats(folder).dead


def test_purge_what_isnt_there(cli, folder, three):
    """A key that none has ends with 1 and deletes no other; nothing is asked for nothing."""
    result = cli("dlq", "purge", "emails", "999")
    assert (1, "deleted 0 dead letters of queue 'emails'\n", 3) == (*result[:2], stats(folder).dead)
    assert 1 == cli("dlq", "purge", "emails", three[0], "999", "--dry-run").code
    assert 0 == cli("dlq", "purge", "emails", three[0], "--dry-run").code


def test_purge_of_what(cli, folder, three):
    """Nothing is deleted unasked: keys or --all have to be given, and not both."""
    assert [2, 2] == [cli("dlq", "purge", "emails", "--yes", *rest).code for rest in ((), (three[0], "--all"))]
    assert 3 == stats(folder).dead


@pytest.mark.usefixtures("three")
def test_what_dies_while_the_question_is_read_is_not_purged(cli, folder, bury, make_body, monkeypatch):
    """The answer is about what was listed: never more is deleted."""
    monkeypatch.setattr(repair, "confirm_or_exit", lambda *_, **__: bury("emails", [make_body(3)]))
    result = cli("dlq", "purge", "emails", "--all")
    assert (0, "deleted 3 dead letters of queue 'emails'\n", "") == result
    assert 1 == stats(folder).dead


def test_fewer_than_were_listed_are_told(cli, folder, three, monkeypatch):
    """Somebody else was faster."""
    app = App(folder.url)
    monkeypatch.setattr(repair, "confirm_or_exit", lambda *_, **__: app.queue("emails").dead_letters.purge(three[:1]))
    result = cli("dlq", "purge", "emails", "--all")
    app.close()
    assert "deleted 2 dead letters of queue 'emails'\n" == result.out
    assert "1 were not deleted: they are gone, or somebody else works on them\n" == result.err


BEHIND = "the search for them ended at the backend's bound; redrive or delete older ones first\n"


@pytest.mark.usefixtures("three")
def test_those_behind_the_bound_of_a_purge_are_not_somebody_elses(cli, monkeypatch):
    """They are there still, though nobody works on them: the purge hasn't done what it was asked for."""
    monkeypatch.setattr("cloudq.drivers.sqlite.dead_letters.SQLiteDeadLetters.purge", lambda *_: 2)
    assert 0 == cli("dlq", "purge", "emails", "--where", "id=*", "--yes").code
    monkeypatch.setattr("cloudq.queues.dead_letters.DeadLetters.unseen", True)
    result = cli("dlq", "purge", "emails", "--where", "id=*", "--yes")
    assert (1, "deleted 2 dead letters of queue 'emails'\n") == (result.code, result.out)
    assert f"1 were not deleted: {BEHIND}" in result.err


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("command", [("redrive",), ("edit", "--set", "n=1")], ids=lambda words: words[0])
def test_those_behind_the_bound_of_a_redrive_are_not_somebody_elses(cli, monkeypatch, command):
    """As of a purge."""
    monkeypatch.setattr("cloudq.drivers.sqlite.dead_letters.SQLiteDeadLetters.take", lambda *_, **__: [])
    monkeypatch.setattr("cloudq.queues.dead_letters.DeadLetters.unseen", True)
    result = cli("dlq", command[0], "emails", "--where", "task=shop.*", *command[1:], "--yes")
    assert (1, True) == (result.code, f"2 were left: {BEHIND}" in result.err)


@pytest.mark.parametrize(
    ("typed", "options", "code", "ready"), [("n\n", (), 1, 0), ("y\n", (), 0, 3), ("", ("-y",), 0, 3)]
)
def test_a_redrive_of_all_asks_a_person(cli, folder, three, person, typed, options, code, ready):  # noqa: PLR0917
    """With the number and the backend, which CLOUDQ_URL may have named; scripts aren't asked."""
    person(typed)
    result = cli("dlq", "redrive", "emails", "--all", *options)
    assert (code, ready) == (result.code, stats(folder).ready)
    asked = f"Send 3 dead letters of queue 'emails' in {folder.url} again? [y/N] "
    assert (not options) == (asked in result.err)
    assert ("nothing was sent\n" in result.err) == (code == 1)


# ── conditions ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_condition_chooses(cli, folder, three):
    """For a redrive and a purge; the others stay."""
    assert 0 == cli("dlq", "redrive", "emails", "--where", "task=shop.* key!=x", "--limit", "1").code
    assert (1, 2) == (stats(folder).ready, stats(folder).dead)
    assert 0 == cli("dlq", "purge", "emails", "--where", "task=shop.*", "--yes").code
    assert 1 == stats(folder).dead
    assert (0, "redrove 0 of 0 dead letters of queue 'emails'\n", "") == cli(
        "dlq", "redrive", "emails", "--where", "task=nowhere"
    )


def test_a_condition_that_means_nothing_is_2(cli, folder, three):
    """A typo never means all."""
    result = cli("dlq", "purge", "emails", "--where", "tusk=x", "--yes")
    assert (2, 3) == (result.code, stats(folder).dead)
    assert "did you mean 'task'" in result.err


@pytest.mark.parametrize("command", [("redrive",), ("edit", "--set", "user_id=9"), ("purge",)])
def test_a_dry_run_changes_nothing(cli, folder, three, command):
    """It says how many are meant; nobody is asked."""
    result = cli("dlq", command[0], "emails", *command[1:], "--where", "task=shop.*", "--dry-run")
    assert (0, 3, 0) == (result.code, stats(folder).dead, stats(folder).ready)
    assert "2 " in result.out
    assert "nothing was changed" in result.out


def test_an_interruption_says_how_to_go_on(cli, folder, three, bury, make_body, monkeypatch):  # noqa: PLR0917
    """By a condition that leaves out what died since; all others are sent by it."""
    monkeypatch.setattr("cloudq.queues.letters.redriving.PAGE", 1)
    interrupt_storing(monkeypatch, 2)
    result = cli("dlq", "redrive", "emails", "--where", "id!=x")
    assert (130, 1) == (result.code, stats(folder).ready)
    assert "interrupted: 1 were sent" in result.err
    (command,) = [line.partition("go on with: ")[2] for line in result.err.splitlines() if "go on with" in line]
    words = shlex.split(command)
    assert ["cloudq", "dlq", "redrive", "emails", "--where"] == words[:5]
    bury("emails", [make_body(9)])  # which takes the one that was sent, too: it dies again
    assert 0 == cli(*words[1:]).code
    assert (3, 1) == (stats(folder).ready, stats(folder).dead)


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("verb", [("redrive",), ("edit", "--set", "user_id=9", "--vouch")])
def test_what_goes_on_does_so_at_the_same_place_and_pace(cli, folder, monkeypatch, verb):
    """With all that was said of where and how, and for as many as are left."""
    monkeypatch.setattr("cloudq.queues.letters.redriving.PAGE", 1)
    interrupt_storing(monkeypatch, 2)
    how = ["--rate", "1000/s", "--backend", folder.url]
    result = cli("dlq", verb[0], "emails", *verb[1:], "--where", "task=shop.*", "--limit", "2", *how)
    assert (130, 1) == (result.code, stats(folder).ready)
    (command,) = [line.partition("go on with: ")[2] for line in result.err.splitlines() if "go on with" in line]
    words = shlex.split(command)
    assert ["--limit", "1", "--rate", "1000/s"] == words[6:10]
    assert folder.url == words[words.index("--backend") + 1]
    assert ("--vouch" in words) is ("--vouch" in verb)


# ── edit ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_edit_sends_what_it_says_now(cli, folder, three):
    """The named one, with a note of who edited it; counted as redriven."""
    result = cli("dlq", "edit", "emails", three[0], "--set", "user_id=42", "--unset", "nothing", "--header", "why=typo")
    assert (0, "edited and sent 1 of 1 dead letters of queue 'emails'\n", "") == result
    [message] = messages(folder)
    assert ({"user_id": 42}, {"why": "typo"}) == (message.payload, message.headers)
    assert 1 == times_redriven(message, None)
    [edit] = edits_of(message)
    assert ("@" in edit.by, {"payload", "headers"}) == (True, set(edit.what))


def test_an_edit_shows_in_what_died_again(cli, folder, three, bury, make_body):
    """Who, when and what, in `show` and its JSON; how often it was redriven, and its group."""
    cli("dlq", "edit", "emails", three[0], "--task", "shop.other")
    [message] = messages(folder)
    [key] = bury("again", [wire.encode(message)])
    out = cli("dlq", "show", "again", key).out
    assert re.search(r"^edited: .* UTC by .*@.*: task$", out, re.MULTILINE)
    assert re.search(r"^redriven: +1$", out, re.MULTILINE)
    assert re.search(r"^group: +[0-9a-f]{12}$", out, re.MULTILINE)
    shown = json.loads(cli("dlq", "show", "again", key, "--json").out)
    assert (1, ["task"]) == (shown["redriven"], shown["edits"][0]["what"])


def test_what_cannot_be_edited_stays_and_is_told(cli, folder, three):
    """Exit code 1; the others are sent."""
    result = cli("dlq", "edit", "emails", "--all", "--set", "user_id=9")
    assert (1, 2, 1) == (result.code, stats(folder).ready, stats(folder).dead)
    assert "can't be edited" in result.err


def test_an_edit_of_nothing_is_2(cli, folder, three):
    """Before anything is looked at."""
    assert (2, 3) == (cli("dlq", "edit", "emails", "--all").code, stats(folder).dead)


def test_an_edit_of_many_asks_a_person(cli, folder, three, person):
    """As a redrive does."""
    person("n\n")
    assert 1 == cli("dlq", "edit", "emails", "--all", "--task", "shop.x").code
    assert 3 == stats(folder).dead


def test_an_edit_is_signed_or_refused(cli, folder, bury, make_body, monkeypatch):
    """With the operator's key; what nobody signed takes --vouch; what is signed takes a key."""
    secret = "ops:" + "ab" * 32
    keys = parse_signing_keys(secret, "test")
    signed, unsigned = bury("emails", [sign(make_body(0), keys.first), make_body(1)])
    refused = cli("dlq", "edit", "emails", signed, "--set", "user_id=2")
    assert 1 == refused.code
    assert "there is no key here" in refused.err
    monkeypatch.setenv("CLOUDQ_SIGNING_KEYS", secret)
    assert 0 == cli("dlq", "edit", "emails", signed, "--set", "user_id=2").code
    refused = cli("dlq", "edit", "emails", unsigned, "--set", "user_id=2")
    assert 1 == refused.code
    assert "--vouch" in refused.err
    assert secret[4:] not in refused.err
    assert 0 == cli("dlq", "edit", "emails", unsigned, "--set", "user_id=3", "--vouch").code
    app = App(folder.url)
    taken = app.driver().receive("emails", limit=9, wait=timedelta(0), lease=timedelta(minutes=1))
    app.close()
    assert [None, None] == [fault_in(delivery.body, keys) for delivery in taken]


def test_with_the_app_an_edit_has_to_fit_its_task(cli, folder, shop, three):
    """Else it would die at once; without the app nobody knows."""
    refused = cli("dlq", "edit", "emails", three[0], "--set", 'user_id="forty"', "--app", "shop")
    assert (1, 3) == (refused.code, stats(folder).dead)
    assert "user_id" in refused.err
    assert 0 == cli("dlq", "edit", "emails", three[0], "--set", 'user_id="forty"').code


def test_with_the_app_another_task_has_to_be_one_of_its_own(cli, folder, shop, three, tmp_path):
    """As for a send; a worker of another program may have it."""
    edit = ("dlq", "edit", "emails", three[0], "--task", "shop.nowhere", "--app", "shop")
    for refused in (cli(*edit, "--dry-run"), cli(*edit)):
        assert (1, 3) == (refused.code, stats(folder).dead)
        assert "no task 'shop.nowhere' is declared" in refused.err
    lines = [json.loads(line) for line in cli("dlq", "export", "emails").out.splitlines()]
    file = tmp_path / "one.jsonl"
    file.write_text(json.dumps({**lines[0], "edit": {"task": "shop.nowhere"}}))
    load = ("dlq", "import", "emails", str(file), "--app", "shop")
    assert (1, 0) == (cli(*load).code, stats(folder).ready)
    assert 0 == cli(*load, "--unchecked").code
    assert 0 == cli(*edit, "--unchecked").code
    assert (2, 2) == (stats(folder).ready, stats(folder).dead)
