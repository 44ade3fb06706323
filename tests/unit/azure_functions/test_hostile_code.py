"""What the app's own code raises outside of its tasks costs a message one attempt, and the batch nothing."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from tenacity import wait_fixed

from cloudq import RetryPolicy
from cloudq.azure_functions import handler
from tests.unit.azure_functions.fakes import Host
from tests.unit.worker.fakes import NoNotes, NoText


class Expects(logging.Filter):
    """Knows its own records only."""

    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.tenant != "muted")  # type: ignore[attr-defined]  # that is what is wrong with it


@pytest.fixture
def filtered() -> Iterator[None]:
    """All that cloudq logs goes to a filter that raises."""
    listener, logger = logging.NullHandler(), logging.getLogger("cloudq")
    listener.addFilter(Expects())
    before = logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.DEBUG)
    yield
    logger.removeHandler(listener)
    logger.setLevel(before)


def exits(_: object) -> bool:
    sys.exit(1)


SOON = wait_fixed(timedelta(seconds=7))
HOSTILE: dict[str, tuple[Callable[[], BaseException], RetryPolicy]] = {
    "retry predicate": (lambda: ValueError("no"), RetryPolicy(retry=exits, wait=SOON)),
    "text": (NoText, RetryPolicy(wait=SOON)),
    "notes": (NoNotes, RetryPolicy(wait=SOON)),
    "filter": (lambda: ValueError("no"), RetryPolicy(wait=SOON)),
}


@pytest.mark.usefixtures("filtered")
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_code_costs_an_attempt(host: Host, kind: str, what: str) -> None:
    """The function returns; what failed is a copy or a dead letter, what is beside it in the batch has run, once."""
    error, policy = HOSTILE[what]
    ran: list[int] = []

    def fails() -> None:
        raise error()

    async def afails() -> None:
        raise error()

    def works(number: int) -> None:
        ran.append(number)

    async def aworks(number: int) -> None:
        ran.append(number)

    host.app.task("bad", retry=policy)(fails if kind == "sync" else afails)
    host.app.task("good")(works if kind == "sync" else aworks)
    failed = []
    for number in range(3):
        failed.append(host.app.send("bad").id)
        host.app.send("good", {"number": number})
    function = handler(host.app, queue="orders")
    assert host.invoke(function)
    assert [0, 1, 2] == sorted(ran)
    assert set(failed) == {*host.waiting(), *host.dead()}
    host.app.send("good", {"number": 3})
    assert host.invoke(function)
    assert [0, 1, 2, 3] == sorted(ran)
