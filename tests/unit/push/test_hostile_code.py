"""What the app's own code raises outside of its tasks costs a push one attempt: never a thread, a slot or the loop."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator

import pytest

from cloudq import RetryPolicy
from cloudq.core.push import PushResponse
from cloudq.push import PushEdge
from tests.unit.push.fakes import edge_of, push
from tests.unit.worker.fakes import NoNotes, NoText

TIMES = 4


class Expects(logging.Filter):
    """Knows its own records only."""

    def filter(self, record: logging.LogRecord) -> bool:
        return bool(record.tenant != "muted")  # type: ignore[attr-defined]  # that is what is wrong with it


@pytest.fixture
def filtered() -> Iterator[None]:
    """All that cloudq logs goes to a filter that raises."""
    handler, logger = logging.NullHandler(), logging.getLogger("cloudq")
    handler.addFilter(Expects())
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield
    logger.removeHandler(handler)
    logger.setLevel(before)


def sync(edge: PushEdge, pushes: list[tuple[dict[str, str], bytes]]) -> list[PushResponse]:
    return [edge.handle(headers, lambda body=body: body) for headers, body in pushes]  # type: ignore[misc]  # body is bound


def on_one_loop(edge: PushEdge, pushes: list[tuple[dict[str, str], bytes]]) -> list[PushResponse]:
    async def one(headers: dict[str, str], body: bytes) -> PushResponse:
        async def read() -> bytes:
            return body

        return await asyncio.wait_for(edge.ahandle(headers, read), 60)

    async def answer() -> list[PushResponse]:
        return [await one(headers, body) for headers, body in pushes]

    return asyncio.run(answer())


def exits(_: object) -> bool:
    sys.exit(1)


HOSTILE: dict[str, tuple[Callable[[], BaseException], RetryPolicy]] = {
    "retry predicate": (lambda: ValueError("no"), RetryPolicy(retry=exits)),
    "text": (NoText, RetryPolicy()),
    "notes": (NoNotes, RetryPolicy()),
    "filter": (lambda: ValueError("no"), RetryPolicy()),
}


@pytest.mark.usefixtures("filtered")
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("answer", [sync, on_one_loop], ids=["thread", "loop"])
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_code_costs_an_attempt(backend, answer, kind: str, what: str) -> None:
    """Each such push has an answer that tells its sender so, and the next ones run."""
    app, driver = backend
    error, policy = HOSTILE[what]
    ran: list[int] = []

    def fails() -> None:
        raise error()

    async def afails() -> None:
        raise error()

    app.task("bad", retry=policy)(fails if kind == "sync" else afails)

    def works(number: int) -> None:
        ran.append(number)

    async def aworks(number: int) -> None:
        ran.append(number)

    app.task("good")(works if kind == "sync" else aworks)
    with edge_of(app) as edge:
        bad = [push("bad", id=f"bad-{number}") for number in range(TIMES)]
        statuses = [response.status for response in answer(edge, bad)]
        good = [push("good", {"number": number}, id=f"good-{number}") for number in range(TIMES)]
        assert [200] * TIMES == [response.status for response in answer(edge, good)]
        assert 0 == edge.admission.in_hand
    assert list(range(TIMES)) == ran
    assert len(driver.sent) == sum(status == 200 for status in statuses), "a copy is stored for each that is settled"
    assert {200} == set(statuses)
