"""Large payloads in a Lambda function: fetched in its own time, by the app's handlers, as at every edge."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from cloudq.aws_lambda import handler
from tests.unit.aws_lambda.fakes import Mapping
from tests.unit.queues.stores import FlakyFileSystem, blobs, flaky_store

BIG = "x" * 5000


@pytest.fixture
def mapping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mapping]:
    """A mapping whose app has a store of large payloads."""
    with flaky_store() as url:
        monkeypatch.setenv("CLOUDQ_CLAIM_CHECK", f"{url}?threshold=2048&delete=acked")
        with Mapping().connected() as made:
            yield made


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_large_payload_is_fetched(mapping: Mapping, is_async: bool) -> None:
    """For sync and async tasks; nothing is deleted, as no answer of the service confirms the message's end."""
    got = []

    def sync(text: str) -> None:
        got.append(text)

    async def asynchronous(text: str) -> None:
        got.append(text)

    mapping.app.task("t")(asynchronous if is_async else sync)
    mapping.app.send("t", {"text": BIG})
    assert 1 == len(blobs())
    assert [] == mapping.invoke(handler(mapping.app), mapping.receive())
    assert ([BIG], 1) == (got, len(blobs()))


def test_a_lost_payload_is_a_dead_letter_and_a_store_that_is_down_isnt(mapping: Mapping) -> None:
    """What can't be fetched now waits as a copy; what isn't there is kept with the reason."""
    mapping.app.task("t")(lambda text: None)
    mapping.app.send("t", {"text": BIG})
    FlakyFileSystem.down = ConnectionError("refused")
    mapping.invoke(handler(mapping.app), mapping.receive())
    (waiting,) = mapping.messages("default")
    assert "dataref" in waiting["Body"]
    assert [] == mapping.messages("default-dlq")
    FlakyFileSystem.down = None
    FlakyFileSystem.store.clear()
    mapping.clock.advance(timedelta(seconds=10))
    mapping.invoke(handler(mapping.app), mapping.receive())
    (dead,) = mapping.messages("default-dlq")
    assert "payload: the blob" in str(dead["MessageAttributes"])
