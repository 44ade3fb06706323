"""Two programs on one queue of Service Bus (our emulator): what one doesn't know goes back for the other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.service_bus.place import ORDERED, PLAIN, Place
from tests.integration.two_programs import LEASE, TwoPrograms

pytestmark = pytest.mark.slow


@pytest.fixture
def programs(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoPrograms]:
    place.make(PLAIN, LEASE)
    place.make(ORDERED, LEASE, max_deliveries=3)
    made = TwoPrograms(place.url, monkeypatch)
    yield made
    made.close()


def test_two_programs_on_one_queue(programs: TwoPrograms) -> None:
    """Each runs its own, once, in the first attempt: by scheduled copies."""
    programs.check_that_each_runs_its_own(PLAIN)


def test_other_keys_go_on(programs: TwoPrograms) -> None:
    """An unknown head holds up its own session alone, and doesn't keep it from whoever knows it."""
    programs.check_that_other_keys_go_on(ORDERED)


def test_what_nobody_knows_dies(programs: TwoPrograms) -> None:
    """Once the patience is over, with its name and the nearest; returns use up none of the queue's deliveries."""
    programs.check_that_what_nobody_knows_dies(PLAIN)
