"""How much a benchmark measures: what its command line says."""

from __future__ import annotations

import pytest

from tests.benchmarks.extent import Extent, parser


@pytest.mark.parametrize(
    ("words", "repeats", "tasks"),
    [([], 5, 1000), (["--quick"], 2, 200), (["--quick", "--repeats", "7"], 7, 200), (["--repeats", "1"], 1, 1000)],
)
def test_a_short_run_has_fewer_turns_and_tasks(words: list[str], repeats: int, tasks: int) -> None:
    """Medians are of five turns, unless it says otherwise."""
    extent = Extent.asked(parser("A benchmark.").parse_args(words))
    assert (repeats, tasks) == (extent.repeats, extent.tasks(1000))


def test_tasks_come_in_tens() -> None:
    """As the calls that carry them."""
    assert [10, 10, 40] == [Extent(1, 5).tasks(number) for number in (10, 99, 239)]
