"""Two programs on one queue of SQS (LocalStack): what one doesn't know goes back for the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloudq.drivers.sqs import SQSDriver
from tests.integration.sqs.conftest import Place
from tests.integration.two_programs import TwoPrograms

pytestmark = pytest.mark.slow


@pytest.fixture
def programs(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoPrograms]:
    driver = SQSDriver("us-east-1", prefix=place.prefix, client=place.client)
    for queue in ("shared", "shared.fifo"):
        assert driver.make_queue(queue)
    made = TwoPrograms(place.url, monkeypatch)
    yield made
    made.close()


def test_two_programs_on_one_queue(programs: TwoPrograms) -> None:
    """Each runs its own, once, in the first attempt: by copies, as a release would count."""
    programs.check_that_each_runs_its_own("shared")


def test_other_keys_go_on(programs: TwoPrograms) -> None:
    """An unknown head of a FIFO queue's group holds up that group alone."""
    programs.check_that_other_keys_go_on("shared.fifo")


def test_what_nobody_knows_dies(programs: TwoPrograms) -> None:
    """Once the patience is over, which the copies carry along, with its name and the nearest."""
    programs.check_that_what_nobody_knows_dies("shared")
