"""`manage.py cloudq ...`."""

from __future__ import annotations


def test_a_command_is_the_projects(manage):
    """Of its app and its backend, whatever the command is; exit codes are its own."""
    done = manage("cloudq", "tasks", "--json")
    assert done.returncode == 0, done.stderr
    assert "ledger.note" in done.stdout
