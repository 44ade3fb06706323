"""The command that goes on where another one ended."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from cloudq import App
from cloudq.cli.dlq.going_on import command
from cloudq.cli.dlq.report import Watch
from cloudq.queues.dead_letters import Where
from tests.unit.cli.dlq.interrupted import interrupt_storing


def test_a_shell_reads_it_as_it_was_meant() -> None:
    """What has spaces and quotes is quoted; what wasn't given isn't there."""
    options = {"--from-line": 5, "--where": "a='b c'", "--vouch": True, "--json": False, "--app": None}
    said = command("import", "emails", "my dir/six.jsonl", options=options)
    expected = ["cloudq", "dlq", "import", "emails", "my dir/six.jsonl", "--from-line", "5"]
    assert [*expected, "--where", "a='b c'", "--vouch"] == shlex.split(said)


def test_a_secret_is_not_shown() -> None:
    """Though it was in the command line."""
    assert "hunter2" not in command("list", "q", options={"--backend": "x://host?a=1&sig=hunter2"})


def test_a_condition_stays_what_it_is() -> None:
    """With a part of it masked it would mean other dead letters."""
    condition = 'id!="pwd=abc"'
    assert condition in shlex.split(command("redrive", "q", options={"--where": condition}))


def test_what_goes_on_later_is_about_the_same(cli, folder, bury, make_body, monkeypatch):
    """A time ago is counted from when the command began; what died since is left, what nobody knows of isn't."""
    monkeypatch.setattr("cloudq.queues.letters.redriving.PAGE", 1)
    bury("emails", [make_body(0), make_body(1)])
    with monkeypatch.context() as patched:
        interrupt_storing(patched, 2)
        said = cli("dlq", "redrive", "emails", "--where", "dead>2h").err
    words = shlex.split(said.partition("go on with: ")[2].partition("\n")[0])
    condition = words[words.index("--where") + 1]
    later = datetime.now(UTC) + timedelta(days=1)
    app = App(folder.url)
    (left,) = app.queue("emails").dead_letters.select(Where.parse(condition, now=later))
    app.close()
    assert not Where.parse(condition, now=later).matches(replace(left, dead_at=later))
    assert Where.parse(condition.partition(" ")[2], now=later).matches(
        replace(left, dead_at=None, failure=None, message=None)
    )


def test_a_list_goes_on_with_the_same_condition(cli, bury, make_body):
    """Page by page, whenever the next one is asked for."""
    bury("emails", [make_body(0), make_body(1)])
    said = cli("dlq", "list", "emails", "--where", "dead>2h", "--limit", "1").err
    words = shlex.split(said.partition("there are more: ")[2])
    assert "dead>2h" not in words
    assert words[words.index("--where") + 1].startswith("dead>20")


def test_what_was_sent_and_not_deleted_takes_none_of_the_others_places(cli, bury, make_body, monkeypatch):
    """It is among the oldest of that condition still."""
    update = Watch.update

    def interrupted(self, done):
        update(self, replace(done, undeleted=1))
        raise KeyboardInterrupt

    monkeypatch.setattr("cloudq.queues.letters.redriving.PAGE", 1)
    monkeypatch.setattr(Watch, "update", interrupted)
    bury("emails", [make_body(0), make_body(1)])
    assert " --limit 2\n" in cli("dlq", "redrive", "emails", "--all", "--limit", "2").err
