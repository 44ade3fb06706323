"""The example of Flask does what its README says, command by command, in a copy of its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.readme_commands import carried_out

FOLDER = Path(__file__).parents[2] / "docs/examples/feeds"


@pytest.mark.slow
@pytest.mark.timeout(300)  # twelve programs, one after the other
def test_the_readmes_commands_work_in_an_empty_folder(tmp_path: Path) -> None:
    """Real processes: a server of feeds, the commands of Flask, a worker, the dead letters, the example's own tests."""
    printed = carried_out(FOLDER, tmp_path, ports={"8001"})
    shown = printed["flask --app feeds entries"]
    assert [line.split("  ")[1] for line in shown.splitlines()] == [
        "The ferry sails again",
        "Storm warning lifted",
        "Two cranes & a tug for sale",
    ]
    read, again = printed["flask --app feeds cloudq worker --burst"].split("\n---\n")
    assert sorted(read.splitlines()) == ["Harbour news: 2 new entries", "Weather for sailors: 1 new entries"]
    assert "1 new entries" not in again, "what was read before is known"
    assert "about.html is no feed" in printed["flask --app feeds cloudq dlq list default"]
    assert "3 feeds will be read" in printed["flask --app feeds refresh"], "not the one that is gone"
    assert "4 passed" in printed["python -m pytest -q"]
