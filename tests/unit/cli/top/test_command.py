"""`cloudq top`."""

from __future__ import annotations

import json
import sys

import pytest

from cloudq.cli import main
from cloudq.cli.top import command
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.errors import BackendUnavailable
from tests.unit.cli.conftest import FAILURE


@pytest.fixture
def filled(cli, shop, bury, make_body):
    """Two ready messages and one dead letter in emails; nothing in default."""
    bury("emails", [make_body()])
    for _ in range(2):
        cli("send", "t", "--unchecked", "--queue", "emails", "--backend", shop.url)
    return shop


def test_a_pipe_gets_one_look(cli, filled):
    """The queues that the tasks declare, and what the dead letters died of."""
    result = cli("top", "--app", "shop")
    assert (0, "") == (result.code, result.err)
    lines = [line.split() for line in result.out.splitlines() if line]
    assert ["queue", "ready", "delayed", "in", "flight", "dead", "oldest", "growth/s"] == lines[0]
    assert ["emails", "2", "0", "0", "1"] == lines[1][:5]
    assert ["dead", "task", "error", "queue"] == lines[3]
    assert ["1", "shop.welcome", FAILURE.error_type, "emails"] == lines[4]


def test_a_program_gets_one_look_as_json(cli, filled):
    """An object a line."""
    result = cli("top", "--queue", "emails", "--json", "--backend", filled.url)
    queue, dead = map(json.loads, result.out.splitlines())
    assert ("emails", 2, 1) == (queue["queue"], queue["ready"], queue["dead"])
    assert ("emails", "shop.welcome") == (dead["dead_letters_of"], dead["task"])


def test_a_worker_that_isnt_there_is_shown_so(cli, filled):
    """And is no error: the queues are shown all the same."""
    result = cli("top", "--queue", "emails", "--worker", "127.0.0.1:1", "--backend", filled.url)
    assert 0 == result.code
    assert "127.0.0.1:1  unreachable" in result.out


def test_a_look_that_reaches_no_queue_ends_with_3(cli, filled, monkeypatch):
    """With the reason in the row of each."""

    def unreachable(*_):
        raise BackendUnavailable("no route")

    monkeypatch.setattr(SQLiteDriver, "stats", unreachable)
    result = cli("top", "--queue", "emails", "--backend", filled.url)
    assert 3 == result.code
    assert "BackendUnavailable: no route" in result.out


@pytest.mark.parametrize("arguments", [("--worker", "nowhere"), ("--every", "0"), ("--queue", "a b")])
def test_wrong_usage_is_refused(cli, filled, arguments):
    """Before anything is asked."""
    assert 2 == cli("top", *arguments, "--backend", filled.url).code


def test_a_terminal_gets_look_after_look(cli, filled, monkeypatch, terminal):
    """With rates from the second on, until Ctrl-C, which is how it ends: with 0."""
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 2:
            raise KeyboardInterrupt

    screen = terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(command.time, "sleep", sleep)
    monkeypatch.setenv("TERM", "xterm")
    assert 0 == main(["top", "--queue", "emails", "--every", "3s", "--backend", filled.url])
    assert [3.0, 3.0] == pauses
    assert "every 3 s" in screen.getvalue()
    assert "+0.0" in screen.getvalue()
