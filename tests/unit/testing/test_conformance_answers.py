"""The kit's behaviours with spoilt answers: a driver that believes what is named keeps them, others are caught."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cloudq.core.driver import PullDriver
from cloudq.testing.clock import FakeClock
from cloudq.testing.conformance import SPOILS, Bench, Harness, Spoil
from cloudq.testing.conformance.answers import Answers
from cloudq.testing.profiles import sqs_like
from tests.unit.testing.wired import (
    AcksWhatItMayNotHaveReceived,
    GuessesWhatItExtended,
    TakesNothingForDone,
    TakesNothingForLost,
    TakesNothingForUnderWay,
    Wired,
)


class WiredHarness(Harness):
    """A driver of the given class on a fake clock, whose answers can be spoilt."""

    def __init__(self, kind: type[Wired], *, sqs: bool) -> None:
        super().__init__(clock=FakeClock())
        self.kind = kind
        self.profile = sqs_like if sqs else None

    def open(self) -> PullDriver:
        return self.kind(clock=self.clock, capabilities=self.profile)

    @contextmanager
    def spoil(self, driver: PullDriver, spoil: Spoil) -> Iterator[None]:
        assert isinstance(driver, Wired)
        driver.wire = spoil.of
        try:
            yield
        finally:
            del driver.wire


class NeverSpoils(WiredHarness):
    """Says that it spoils answers, and doesn't."""

    @contextmanager
    def spoil(self, driver: PullDriver, spoil: Spoil) -> Iterator[None]:
        yield


@pytest.fixture(params=[True, False], ids=["copies", "all native"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(WiredHarness(Wired, sqs=request.param))
    yield bench
    bench.close()


class TestWired(Answers):
    """A driver that believes what is named."""


CAUGHT = [
    (TakesNothingForDone, "test_what_is_not_named_as_stored_is_not_accepted"),
    (TakesNothingForDone, "test_what_is_not_named_as_settled_is_not_confirmed"),
    (TakesNothingForDone, "test_what_is_not_named_as_extended_is_not_granted"),
    (TakesNothingForDone, "test_a_copy_that_is_not_named_as_stored_replaces_nothing"),
    (TakesNothingForDone, "test_a_redriven_copy_that_is_not_named_as_stored_replaces_nothing"),
    (TakesNothingForLost, "test_what_is_not_named_as_extended_is_not_granted"),
    (GuessesWhatItExtended, "test_what_is_not_named_as_extended_is_not_granted"),
    (AcksWhatItMayNotHaveReceived, "test_a_message_whose_handing_over_is_spoilt_comes_again"),
]


@pytest.mark.parametrize("how", SPOILS)
def test_a_driver_that_takes_a_cancelled_message_for_one_under_way_is_caught(how: str) -> None:
    """By each way in which an answer is spoilt, where messages can be cancelled."""
    bench = Bench(WiredHarness(TakesNothingForUnderWay, sqs=False))
    try:
        with pytest.raises(AssertionError):
            Answers().test_a_cancelling_whose_answer_is_spoilt_says_nothing(bench, how)
    finally:
        bench.close()


@pytest.mark.parametrize("how", SPOILS)
@pytest.mark.parametrize(("kind", "behaviour"), CAUGHT, ids=[f"{kind.__name__}-{name}" for kind, name in CAUGHT])
def test_a_broken_driver_is_caught(kind: type[Wired], behaviour: str, how: str) -> None:
    """By each way in which an answer is spoilt."""
    bench = Bench(WiredHarness(kind, sqs=True))
    try:
        with pytest.raises(AssertionError):
            getattr(Answers(), behaviour)(bench, how)
    finally:
        bench.close()


def test_a_harness_that_spoils_nothing_is_caught() -> None:
    """The behaviours don't hold by nothing being shown."""
    bench = Bench(NeverSpoils(Wired, sqs=True))
    try:
        with pytest.raises(AssertionError, match="the harness spoilt no answer"):
            Answers().test_what_is_not_named_as_stored_is_not_accepted(bench, "emptied")
    finally:
        bench.close()


@pytest.mark.parametrize("how", SPOILS)
@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\n{}...", b"1", b""])
def test_a_spoilt_answer_is_never_the_answer(how: str, answer: bytes) -> None:
    """However short it is, a part of it is less than it; and each is counted."""
    spoil = Spoil(how)
    spoilt = spoil.of(answer)
    if spoil.cuts:
        assert answer.startswith(spoilt)
        assert len(spoilt) == max(0, min(len(answer) - 1, len(spoilt)))
    elif answer:
        assert spoilt != answer
    assert spoil.count == 1
