"""The capability matrix: made from capabilities and `plan()`, kept between two markers of a page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cloudq.testing.conformance.matrix import BEGIN, END, backends, main, table, updated
from cloudq.testing.profiles import cloud_tasks_like, service_bus_like, sqs_fifo_like, sqs_like

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "backends.md"


def rows(matrix: str) -> dict[str, list[str]]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in matrix.splitlines()]
    return {row[0]: row[1:] for row in cells}


def test_the_page_of_backends_is_current() -> None:
    """The documentation says of every backend what its driver says."""
    page = PAGE.read_text(encoding="utf-8")
    assert page == updated(page, table(backends()))


def test_a_service_s_limits_show_as_native_emulated_or_refused() -> None:
    """What plan() copies is "by a copy", what CloudQueue refuses is "refused", with the limits in between."""
    columns = {
        "sqs": sqs_like("orders"),
        "fifo": sqs_fifo_like("orders.fifo"),
        "tasks": cloud_tasks_like("orders"),
        "bus": service_bus_like("orders"),
    }
    shown = rows(table(columns))
    assert shown[""] == ["sqs", "fifo", "tasks", "bus"]
    assert shown["`delay`, `at`"] == [
        "native up to 15 min, beyond in hops",
        "refused",
        "native up to 30 d, beyond in hops",
        "native",
    ]
    assert shown["retry"] == [
        "native up to 1 min, beyond by a copy",
        "native",
        "by a copy",
        "native at once, later by a copy",
    ]
    assert shown["retry that uses no attempt"] == ["by a copy", "native", "by a copy", "by a copy"]
    assert shown["dead letter"] == ["by a copy", "by a copy", "by a copy", "native"]
    assert shown["extending a lease"] == ["native", "native", "refused", "native"]
    assert shown["`ordering_key`"] == ["refused", "native, required", "refused", "refused"]
    assert shown["`fairness_key`"] == ["native", "no effect", "no effect", "no effect"]
    assert shown["`idempotency_key`: not stored twice within"] == ["no window", "5 min", "1 d", "10 min"]
    assert shown["largest message"] == ["1,008 KiB", "1,008 KiB", "84 KiB", "240 KiB"]


def test_every_row_has_a_cell_for_every_backend() -> None:
    """The table is a table."""
    columns = backends()
    assert {len(row) for row in rows(table(columns)).values()} == {len(columns)}


def test_the_rest_of_the_page_is_left_alone() -> None:
    """Only what is between the markers is replaced, and a second time changes nothing."""
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = updated(page, "| new |")
    assert once == f"before\n{BEGIN}\n\n| new |\n\n{END}\nafter\n"
    assert updated(once, "| new |") == once


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_page_without_the_two_markers_is_refused(page: str) -> None:
    """Without one pair of markers nobody knows where the table belongs."""
    with pytest.raises(ValueError, match="the page needs one"):
        updated(page, "| new |")


def test_check_and_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--check fails for a page that isn't current and changes nothing; --write makes it current."""
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}{END}", encoding="utf-8")
    assert main(["--check", str(page)]) == 1
    assert page.read_text(encoding="utf-8") == f"{BEGIN}{END}"
    assert "isn't current" in capsys.readouterr().err
    assert main(["--write", str(page)]) == 0
    assert main(["--check", str(page)]) == 0
    assert "SQLite" in page.read_text(encoding="utf-8")


def test_a_page_without_markers_fails_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command names the page and what is missing."""
    page = tmp_path / "page.md"
    page.write_text("nothing", encoding="utf-8")
    assert main(["--write", str(page)]) == 1
    assert "page.md: the page needs one" in capsys.readouterr().err


@pytest.mark.slow
def test_it_runs_as_a_module() -> None:
    """The command that the Makefile runs works and says nothing where all is well."""
    command = [sys.executable, "-W", "error", "-m", "cloudq.testing.conformance.matrix", "--check", str(PAGE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
