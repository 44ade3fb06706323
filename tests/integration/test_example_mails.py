"""The example of Django does what its README says, command by command, in a copy of its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.readme_commands import carried_out

FOLDER = Path(__file__).parents[2] / "docs/examples/mails"


@pytest.mark.slow
def test_the_readmes_commands_work_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real processes: Django's commands, a relay, an SMTP server, a worker, and the example's own tests."""
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)  # of the tests that have Django in this process
    printed = carried_out(FOLDER, tmp_path, ports={"8025"})
    assert "was subscribed already" in printed["python manage.py subscribe ada@example.org"]
    shown = printed["python smtp_server.py show received"]
    assert "ada@example.org: Is it you?\ngrace@example.org: Is it you?\n" == shown
    listed = printed["python manage.py cloudq dlq list default"]
    assert "the server doesn't take this address" in listed
