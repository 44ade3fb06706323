"""The command that goes on where another one ended."""

from __future__ import annotations

import shlex

from cloudq.cli.dlq.going_on import command


def test_a_shell_reads_it_as_it_was_meant() -> None:
    """What has spaces and quotes is quoted; what wasn't given isn't there."""
    options = {"--from-line": 5, "--where": "a='b c'", "--vouch": True, "--json": False, "--app": None}
    said = command("import", "emails", "my dir/six.jsonl", options=options)
    expected = ["cloudq", "dlq", "import", "emails", "my dir/six.jsonl", "--from-line", "5"]
    assert [*expected, "--where", "a='b c'", "--vouch"] == shlex.split(said)


def test_a_secret_is_not_shown() -> None:
    """Though it was in the command line."""
    assert "hunter2" not in command("list", "q", options={"--backend": "x://host?a=1&sig=hunter2"})
