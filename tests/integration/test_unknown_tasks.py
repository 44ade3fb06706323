"""Two programs on one queue, on SQLite: what one doesn't know goes back for the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.two_programs import TwoPrograms

pytestmark = pytest.mark.slow


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoPrograms]:
    made = TwoPrograms(f"sqlite:///{tmp_path / 'q.db'}", monkeypatch)
    yield made
    made.close()


def test_two_programs_on_one_queue(programs: TwoPrograms) -> None:
    """Each runs its own, once, in the first attempt."""
    programs.check_that_each_runs_its_own("shared")


def test_other_keys_go_on(programs: TwoPrograms) -> None:
    """An unknown head holds up its own ordering key alone."""
    programs.check_that_other_keys_go_on("shared.fifo")


def test_what_nobody_knows_dies(programs: TwoPrograms) -> None:
    """Once the patience is over, with its name and the nearest."""
    programs.check_that_what_nobody_knows_dies("shared")
