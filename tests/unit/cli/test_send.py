"""`cloudq send`."""

from __future__ import annotations

import io
import json
import re
import sys
from datetime import UTC, datetime, timedelta

import pytest

from cloudq import App
from cloudq.cli.send import EXAMPLES


def received(folder, queue):
    """The one message in a queue."""
    app = App(folder.url)
    [delivery] = app.driver().receive(queue, limit=9, wait=timedelta(0), lease=timedelta(minutes=1))
    app.close()
    return delivery.message


def test_send(cli, shop):
    """It stores a message of the known task on its queue, with its key, and prints the id alone."""
    result = cli("send", "shop.welcome", '{"user_id": 42}', "--app", "shop")
    message = received(shop, "emails")
    assert (0, f"{message.id}\n", "") == result
    assert ("shop.welcome", {"user_id": 42}, "welcome-42") == (
        message.task,
        message.payload,
        message.idempotency_key,
    )


def test_json(cli, shop):
    """A program gets the id, where it went, and whether the payload was checked."""
    result = cli("send", "shop.hello", '{"user_id": 42}', "--app", "shop", "--json")
    sent = json.loads(result.out)
    assert sent.pop("receipt").startswith("cq1.")
    assert {
        "id": received(shop, "emails").id,
        "duplicate": False,
        "task": "shop.welcome",
        "queue": "emails",
        "backend": shop.url,
        "validated": True,
    } == sent


def test_second_of_a_key_is_said(cli, shop):
    """A duplicate gives the id of the first, and says so on stderr."""
    first = cli("send", "shop.welcome", '{"user_id": 42}', "--app", "shop")
    second = cli("send", "shop.welcome", '{"user_id": 42}', "--app", "shop")
    assert first.out == second.out
    assert "was there already" in second.err


def test_options_travel(cli, folder):
    """Queue, keys and headers are those of the message."""
    result = cli(
        *("send", "t", "{}", "--unchecked", "--queue", "other.fifo", "--idempotency-key", "i", "--ordering-key", "o"),
        *("--header", "a=b=c", "--header", "d="),
    )
    assert (0, "") == (result.code, result.err)
    message = received(folder, "other.fifo")
    assert ("i", "o", {"a": "b=c", "d": ""}) == (message.idempotency_key, message.ordering_key, message.headers)


@pytest.mark.parametrize("when", [("--delay", "1h"), ("--at", "%Y-%m-%dT09:00+01:00"), ("--at", "%Y-%m-%dT08:00:00Z")])
def test_delayed(cli, folder, when):
    """A delay or a moment keeps the message back."""
    option, value = when
    later = datetime.now(UTC) + timedelta(days=30)
    assert 0 == cli("send", "t", "--unchecked", option, later.strftime(value)).code
    assert 1 == App(folder.url).queue("default").stats().delayed


def test_at_is_a_moment(cli, folder):
    """`--at` keeps its offset."""
    cli("send", "t", "--unchecked", "--at", "2020-01-31T09:00+01:00")
    assert datetime(2020, 1, 31, 8, tzinfo=UTC) == received(folder, "default").not_before


def test_payload_from_stdin(cli, folder, monkeypatch):
    """`-` reads the payload from stdin."""
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"a": "ü"}\n'))
    assert 0 == cli("send", "t", "-", "--unchecked").code
    assert {"a": "ü"} == received(folder, "default").payload


def test_payload_may_be_left_out(cli, folder):
    """Without a payload it is the empty object."""
    cli("send", "t", "--unchecked")
    assert {} == received(folder, "default").payload


def test_without_an_app_it_is_sent_unchecked_and_said(cli, folder):
    """Where no app is found the message is sent as it is, and stderr says so and why."""
    result = cli("send", "t", '{"a": 1}')
    assert (0, f"{received(folder, 'default').id}\n") == result[:2]
    assert "without checking" in result.err
    assert "tried --app" in result.err


def test_unchecked_is_silent(cli):
    """Who asked for no check isn't told that there is none."""
    assert "" == cli("send", "t", "--unchecked").err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("shop.welcome", '{"user_id": "x"}', "--app", "shop"), "payload", "user_id"),
        (("shop.welcome", '{"user": 1}', "--app", "shop"), "payload", "did you mean 'user_id'?"),
        (("shop.welcom", "--app", "shop"), "unknown-task", "did you mean 'shop.welcome'?"),
        (("t", "{"), "payload", "isn't JSON"),
        (("t", "[1]"), "payload", "list"),
        (("t", "[" * 5000), "payload", "JSON"),
        (("t", "--delay", "soon"), "option", "--delay 5m"),
        (("t", "--delay", "5m", "--at", "2030-01-01T00:00Z"), "option", "exclude each other"),
        (("t", "--at", "2030-01-01T00:00"), "option", "UTC offset"),
        (("t", "--at", "tomorrow"), "option", "ISO 8601"),
        (("t", "--header", "a"), "option", "NAME=TEXT"),
        (("t", "--queue", "emails-dlq"), "option", "dead-letter"),
        (("t", "--idempotency-key", ""), "option", "--idempotency-key is"),
        (("t", "--ordering-key", "a"), "unsupported", "fifo"),
        (("", "--unchecked"), "option", "no name of a task"),
    ],
)
def test_what_cant_be_sent_is_2(cli, shop, arguments, code, said):
    """What doesn't fit ends with 2, says why, and nothing is stored."""
    result = cli("send", *arguments)
    assert (2, "") == (result.code, result.out)
    assert said in result.err
    assert f"code: {code} " in result.err
    app = App(shop.url)
    assert [0, 0] == [app.queue(name).stats().ready for name in ("default", "emails")]
    app.close()


def test_unknown_task_is_sent_with_unchecked(cli, shop):
    """A task of another program is sent all the same when asked for; the hint says how."""
    assert "hint: --unchecked" in cli("send", "other", "--app", "shop").err
    result = cli("send", "other", "--app", "shop", "--unchecked", "--json")
    assert (0, False, "default") == (result.code, json.loads(result.out)["validated"], json.loads(result.out)["queue"])


@pytest.mark.parametrize(
    ("options", "said", "hint"),
    [
        (("--at", "2030-01-31T09:00"), "--at '2030-01-31T09:00' has no UTC offset", "--at 2030-01-31T09:00+01:00"),
        (("--queue", "x.fifo"), "keeps the order", "--ordering-key KEY, or send to a queue"),
        (("--ordering-key", "k"), "so --ordering-key is refused", ".fifo"),
        (
            ("--queue", "x.fifo", "--ordering-key", "k", "--delay", "5m"),
            "--delay and --ordering-key exclude",
            "leave one",
        ),
        (("--delay", "5m", "--at", "2030-01-31T09:00Z"), "--delay and --at exclude each other", "give one of them"),
        (("--idempotency-key", ""), "--idempotency-key is a text of 1 to 512", None),
    ],
)
def test_what_is_refused_is_said_by_the_options_names(cli, folder, options, said, hint):
    """Nobody at a shell has a parameter of Python's."""
    result = cli("send", "t", "--unchecked", *options)
    assert (2, "") == (result.code, result.out)
    assert said in result.err
    assert hint is None or hint in result.err
    assert "_key" not in result.err


@pytest.mark.parametrize("example", [one for one in EXAMPLES if " --at " in one or " --expires " in one])
def test_moments_that_are_shown_can_be_pasted(cli, folder, example):
    """Whatever an example or a hint names is near enough, or over and so due at once."""
    shown = re.findall(r"--(?:at|expires) \S+", example)
    for option, hint in (("--at", "?"), ("--expires", "1-1")):
        refused = cli("send", "t", "--unchecked", option, hint).err
        shown += re.findall(r"hint: (--\S+ \S+)", refused)
    assert 3 == len(shown)
    for words in shown:
        assert 0 == cli("send", "t", "--unchecked", *words.split()).code, words


def test_a_queue_that_the_task_does_not_name_takes_unchecked(cli, shop):
    """It is refused before it is stored, whatever the app says; `--unchecked` sends it all the same."""
    words = ("send", "shop.welcome", '{"user_id": 42}', "--app", "shop", "--queue", "public")
    result = cli(*words)
    assert (2, "") == (result.code, result.out)
    assert "isn't one of queue 'public': its declaration names 'emails'" in result.err
    assert 0 == App(shop.url).queue("public").stats().ready
    assert 0 == cli(*words, "--unchecked").code
    assert "shop.welcome" == received(shop, "public").task


def test_track(cli, shop):
    """The store beside the file knows from the send on that it waits."""
    sent = json.loads(cli("send", "shop.welcome", '{"user_id": 42}', "--track", "--json").out)
    result = cli("result", sent["id"], "--json")
    assert "waiting" == json.loads(result.out)["status"]
    assert 0 == cli("cancel", sent["id"]).code


def test_track_without_a_store(cli, shop, monkeypatch):
    """Refused, and nothing is stored."""
    monkeypatch.setenv("CLOUDQ_STORE_URL", "none")
    result = cli("send", "shop.welcome", '{"user_id": 42}', "--track")
    assert 2 == result.code
    assert "CLOUDQ_STORE_URL" in result.err


def test_debounce(cli, shop):
    """Of two that are sent so, the second takes the first one's place."""
    first = cli("send", "shop.welcome", '{"user_id": 42}', "--debounce", "5m").out.strip()
    second = cli("send", "shop.welcome", '{"user_id": 42}', "--debounce", "5m").out.strip()
    other = cli("send", "shop.welcome", '{"user_id": 43}', "--debounce", "5m").out.strip()
    statuses = [json.loads(cli("result", id_, "--json").out)["status"] for id_ in (first, second, other)]
    assert ["cancelled", "waiting", "waiting"] == statuses


def test_unique_while_waiting(cli, shop):
    """Nothing is stored while one of the same key waits; stderr says so."""
    options = ("--unique-while-waiting", "--waiting-key", "shop-7")
    first = cli("send", "shop.welcome", '{"user_id": 42}', *options)
    second = cli("send", "shop.welcome", '{"user_id": 43}', *options)
    assert first.out == second.out
    assert "one of its kind waits already" in second.err


def test_a_waiting_key_alone(cli, shop):
    """It says nothing: refused."""
    result = cli("send", "shop.welcome", '{"user_id": 42}', "--waiting-key", "shop-7")
    assert 2 == result.code
    assert "waiting_key says nothing alone" in result.err
