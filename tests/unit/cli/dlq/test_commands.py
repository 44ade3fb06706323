"""`cloudq dlq list`, `show`, and what holds for all commands of the group."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
from datetime import timedelta

import pytest

from cloudq import App
from cloudq.cli import main
from cloudq.cli.dlq import commands as dlq
from cloudq.cli.output import Nowhere
from cloudq.core import wire
from cloudq.core.driver import Final, NativeDeadLetter
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.reference import Reference

FAILURE = Failure(reason="gave up", error_type="ValueError", error_message="no such user")
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


# ── list ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_list(cli, three):
    """A line a dead letter, oldest first, with its key and reason; nothing is taken."""
    for _ in range(2):
        result = cli("dlq", "list", "emails")
        assert (0, "") == (result.code, result.err)
        lines = result.out.splitlines()
        assert ["queue", "key", "task", "dead", "since", "attempts", "reason"] == lines[0].split()
        assert three == [line.split()[1] for line in lines[1:]]
        assert "shop.welcome" in lines[1]
        assert lines[1].endswith("gave up after 5 attempts: ValueError: no such user")


def test_list_of_every_declared_queue(cli, shop, three, bury, make_body):
    """Without a queue those of all queues that the tasks declare are listed."""
    bury("default", [make_body(7, task="shop.report")])
    result = cli("dlq", "list", "--app", "shop")
    assert ["emails", "emails", "emails", "default"] == [line.split()[0] for line in result.out.splitlines()[1:]]


def test_list_goes_on_where_it_ended(cli, three):
    """A limited list says how to go on, and goes on there."""
    first = cli("dlq", "list", "emails", "--limit", "2", "--json")
    assert three[:2] == [json.loads(line)["key"] for line in first.out.splitlines()]
    assert f"cloudq dlq list emails --limit 2 --json --after {three[1]}\n" in first.err
    rest = cli("dlq", "list", "emails", "--after", three[1], "--json")
    assert three[2:] == [json.loads(line)["key"] for line in rest.out.splitlines()]
    assert "" == rest.err


def test_list_of_all(cli, three, monkeypatch):
    """`--limit 0` lists all, page by page."""
    monkeypatch.setattr(dlq, "PAGE", 1)
    result = cli("dlq", "list", "emails", "--limit", "0", "--json")
    assert three == [json.loads(line)["key"] for line in result.out.splitlines()]


def test_list_json(cli, three):
    """A program gets all of it, the body byte for byte."""
    first, _, last = map(json.loads, cli("dlq", "list", "emails", "--json").out.splitlines())
    assert ("id-0", "emails", "shop.welcome", {"user_id": 0}) == (
        first["id"],
        first["queue"],
        first["task"],
        first["message"]["payload"],
    )
    assert (5, 6, "host:42", "2026-01-31T12:30:00Z") == (
        first["failure"]["attempts"],
        first["failure"]["deliveries"],
        first["failure"]["worker"],
        first["failure"]["first_at"],
    )
    assert (None, None, POISON) == (last["task"], last["message"], base64.b64decode(last["body_base64"]))


def test_list_of_nothing(cli):
    """An empty list is no error: stdout is empty, stderr says so."""
    cli("stats", "--queue", "emails")  # makes the database
    assert 0 == cli("send", "t", "--unchecked").code
    assert (0, "", "no dead letters in queue 'emails'\n") == cli("dlq", "list", "emails")
    assert (0, "", "") == cli("dlq", "list", "emails", "--json")


def test_after_needs_a_queue(cli, shop):
    """A key is a place in one queue's list."""
    assert 2 == cli("dlq", "list", "--after", "1", "--app", "shop").code


@pytest.mark.parametrize("command", ["list", "show", "redrive", "purge"])
def test_dead_letter_queues_name_is_2(cli, command):
    """Who names the dead-letter queue itself is told the queue's name."""
    result = cli("dlq", command, "emails-dlq", *(() if command == "list" else ("1",)))
    assert 2 == result.code
    assert "hint: name the queue it belongs to: emails\n" in result.err


# ── show ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_show(cli, three):
    """Everything that is known: why, how often, when, by whom, the payload, the traceback's end."""
    result = cli("dlq", "show", "emails", three[0])
    assert (0, "") == (result.code, result.err)
    for line in (
        "id:           id-0",
        "queue:        emails",
        "task:         shop.welcome",
        "reason:       gave up after 5 attempts: ValueError: no such user",
        "error type:   ValueError",
        "error:        no such user",
        "attempts:     5",
        "deliveries:   6",
        "failed first: 2026-01-31 12:30:00 UTC",
        "failed last:  2026-01-31 13:30:00 UTC",
        "worker:       host:42",
        "sent:         2026-01-31 12:30:00 UTC",
        '    "user_id": 0',
        '    File "shop.py", line 9',
    ):
        assert line in result.out.splitlines(), line


def test_show_undecodable(cli, three):
    """A body that can't be decoded is shown escaped: it can't steer the terminal."""
    out = cli("dlq", "show", "emails", three[2]).out
    assert f"body ({len(POISON)} bytes):" in out
    assert "\\xff\\x00{not json\\x1b[2J" in out
    assert "\x1b" not in out


def test_show_escapes_what_others_wrote(cli, bury, make_body):
    """Reason, error and traceback come from others, and can't steer the terminal either."""
    evil = "\x1b]0;evil\x07"
    keys = bury("emails", [make_body()], Failure(reason=evil, error_message=evil, traceback=evil))
    assert "\x1b" not in cli("dlq", "show", "emails", *keys).out
    assert "\x1b" not in cli("dlq", "list", "emails").out


def test_show_raw(three, capsysbinary):
    """`--raw` writes the body byte for byte and nothing else."""
    assert 0 == main(["dlq", "show", "emails", three[2], "--raw"])
    assert POISON == capsysbinary.readouterr().out


def test_show_raw_refuses_a_terminal(cli, three, monkeypatch, terminal):
    """The bytes are somebody's, and may steer it; `--force` does it all the same."""
    monkeypatch.setattr(sys, "stdout", seen := terminal())
    seen.buffer = io.BytesIO()
    assert 2 == main(["dlq", "show", "emails", three[2], "--raw"])
    assert b"" == seen.buffer.getvalue()
    assert 0 == main(["dlq", "show", "emails", three[2], "--raw", "--force"])
    assert POISON == seen.buffer.getvalue()


def test_what_a_sender_wrote_forges_no_row_and_no_field(cli, bury, make_body):
    """Neither the name of its task nor a header's, nor an id, begins a line of its own, or steers a terminal."""
    evil = "evil\nemails 99 forged\x1b]0;T\x07\u2028\x9b"
    keys = bury("emails", [make_body(task=evil, id=evil, headers={evil: evil}, source=evil)], Failure(reason=evil))
    listed, shown = cli("dlq", "list", "emails").out, cli("dlq", "show", "emails", *keys).out
    assert 2 == len(listed.splitlines())
    assert not any(line.startswith("emails 99") for line in shown.splitlines())
    as_json = cli("dlq", "list", "emails", "--json").out + cli("dlq", "show", "emails", *keys, "--json").out
    for text in (listed, shown, as_json):
        assert all(line.isprintable() for line in text.split("\n"))


def test_show_several_and_all(cli, three):
    """Several keys, or all, one after the other; as JSON a line each."""
    assert three[1:] == keys_of(cli("dlq", "show", "emails", *three[1:], "--json"))
    assert three == keys_of(cli("dlq", "show", "emails", "--all", "--json"))
    assert three[:1] == keys_of(cli("dlq", "show", "emails", "--all", "--limit", "1", "--json"))
    assert 3 == cli("dlq", "show", "emails", "--all").out.count("reason:")


def test_show_what_isnt_there(cli, three):
    """A key that none has ends with 1; the others are shown."""
    result = cli("dlq", "show", "emails", "999", three[0], "--json")
    assert (1, three[:1]) == (result.code, keys_of(result))
    assert "there is no dead letter '999' in queue 'emails'" in result.err


@pytest.mark.parametrize(
    "arguments", [(), ("1", "--all"), ("1", "2", "--raw"), ("--all", "--raw"), ("1", "--raw", "--json")]
)
def test_show_of_what(cli, arguments):
    """Either keys or --all; --raw takes one."""
    result = cli("dlq", "show", "emails", *arguments)
    assert (2, "") == (result.code, result.out)
    assert "hint: " in result.err


def keys_of(result):
    return [json.loads(line)["key"] for line in result.out.splitlines()]


def test_show_a_reference_to_a_large_payload(cli, bury):
    """What stands in place of the payload; the store isn't asked."""
    reference = Reference(key="2026-01-31/abc.json", sha256="5" * 64, size=3_000_000)
    (key,) = bury("emails", [wire.encode(Message(id="1", task="shop.welcome", queue="emails", reference=reference))])
    out = cli("dlq", "show", "emails", key).out
    assert "payload, in the claim-check store:" in out
    assert f"  2026-01-31/abc.json (3,000,000 bytes), SHA-256 {'5' * 64}" in out.splitlines()
    shown = json.loads(cli("dlq", "show", "emails", key, "--json").out)["message"]
    assert ({}, 3_000_000) == (shown["payload"], shown["reference"]["size"])


def test_a_key_that_isnt_there_says_how_to_find_one(cli, bury, make_body):
    """In the form of an error, by each command that takes keys; the exit code is 1."""
    bury("emails", [make_body()])
    said = "cloudq: there is no dead letter '99' in queue 'emails' (any more)\n  hint: cloudq dlq list emails\n"
    for command in (("show",), ("redrive",), ("purge", "--yes")):
        result = cli("dlq", command[0], "emails", "99", *command[1:])
        assert 1 == result.code
        assert said in result.err


# ── mistakes ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", [("list",), ("redrive", "--all"), ("purge", "--where", "id=*", "--yes")])
def test_more_than_a_look_sees_is_told(cli, three, monkeypatch, command):
    """A flood of dead letters hides no others without a word."""
    monkeypatch.setattr("cloudq.queues.dead_letters.DeadLetters.unseen", True)
    result = cli("dlq", command[0], "emails", *command[1:])
    assert "there are more dead letters than the backend shows at once" in result.err


# ── conditions and groups ────────────────────────────────────────────────────────────────────────────────


def test_a_condition_lists_its_members(cli, three):
    """And says so where there are none; a list that ended goes on with it."""
    assert three[:2] == keys_of(cli("dlq", "list", "emails", "--where", "task=shop.*", "--json"))
    assert three[2:] == keys_of(cli("dlq", "show", "emails", "--where", "task!=*", "--json"))
    assert (
        "no dead letters of that condition in queue 'emails'\n" == cli("dlq", "list", "emails", "--where", "id=x").err
    )
    limited = cli("dlq", "list", "emails", "--where", "task=shop.*", "--limit", "1")
    assert f"cloudq dlq list emails --where 'task=shop.*' --limit 1 --after {three[0]}\n" in limited.err


def test_groups(cli, folder, bury, make_body):
    """A line each: how many of what, where, since when, how often redriven; its name means its members."""
    bury("emails", [make_body(0), make_body(1)])
    cli("dlq", "redrive", "emails", "--all")
    app = App(folder.url)
    driver = app.driver()
    for delivery in driver.receive("emails", limit=9, wait=timedelta(0), lease=timedelta(minutes=1)):
        driver.settle([Final(lease=delivery.lease, step=NativeDeadLetter(failure=FAILURE))])
    app.close()
    bury("emails", [POISON], Failure(reason="undecodable: at byte 0"))
    out = cli("dlq", "list", "emails", "--groups").out
    heading, first, second = out.splitlines()
    assert ["queue", "group", "what"] == heading.split()
    assert re.search(r"2 . ValueError in shop\.welcome since .* UTC, redriven once: no such user$", first)
    assert re.search(r"1 . no error in \(can't be decoded\) since .* UTC: undecodable: at byte #$", second)
    (group, _) = map(json.loads, cli("dlq", "list", "emails", "--groups", "--json").out.splitlines())
    assert ("emails", 2, 1) == (group["queue"], group["count"], group["redriven"])
    assert 2 == len(keys_of(cli("dlq", "list", "emails", "--where", f"group={group['fingerprint']}", "--json")))
    assert "1 more groups" in cli("dlq", "list", "emails", "--groups", "--limit", "1").err
    assert 2 == cli("dlq", "list", "emails", "--groups", "--after", "1").code


@pytest.mark.parametrize("command", ["list", "show", "redrive", "edit", "purge", "export"])
def test_where_to_look_is_to_hide_is_said(cli, three, monkeypatch, command):
    """Once a command."""
    monkeypatch.setattr("cloudq.queues.dead_letters.DeadLetters.hides_for", timedelta(minutes=1))
    more = {"edit": ("--task", "t"), "purge": ("--yes",)}.get(command, ())
    which = () if command in {"list", "export"} else (three[0],)
    result = cli("dlq", command, "emails", *which, *more)
    assert 0 == result.code
    assert 1 == result.err.count("only by hiding them from others meanwhile")


@pytest.mark.parametrize("more", [(), ("--json",), ("--groups",)])
def test_a_list_to_a_closed_stdout_is_2(cli, shop, monkeypatch, capsys, more):
    """What reads it would take it that there are none."""
    with monkeypatch.context() as patched, Nowhere("w") as closed:
        patched.setattr(sys, "stdout", closed)
        assert 2 == main(["dlq", "list", "emails", *more])
    assert "stdout is closed" in capsys.readouterr().err
