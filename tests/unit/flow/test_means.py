"""The table of what edges do about limits, and the page that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudq.flow.means import TABLE, Edge, Means

PAGE = Path(__file__).parents[3] / "docs/reference/limits.md"


def test_the_table_is_whole() -> None:
    """Each edge says something of each kind of limit."""
    assert set(TABLE) == set(Edge)
    assert all(set(row) == set(Means) for row in TABLE.values())


def test_what_is_refused_says_what_to_do_instead() -> None:
    """And nothing else does."""
    assert all(cell.refused is bool(cell.hint) for row in TABLE.values() for cell in row.values())


@pytest.mark.parametrize("edge", Edge, ids=lambda edge: edge.name)
def test_the_page_has_the_table(edge: Edge) -> None:
    """Each cell as it is in code."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.read_text().splitlines()]
    [heads] = [row for row in rows if row[0] == "limit"]
    column = heads.index(edge.value)
    shown = {row[0]: row[column] for row in rows if len(row) == len(heads)}
    expected = {
        means.value: f"{cell.how.value}: {cell.hint}" if cell.refused else cell.how.value
        for means, cell in TABLE[edge].items()
    }
    assert expected == {means.value: shown[means.value] for means in Means}
