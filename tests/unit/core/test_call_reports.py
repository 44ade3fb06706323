"""A driver's calls, as they are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cloudq.core.call_reports import CallReports, Reporting, ReportsCalls
from cloudq.core.observing import Observer


class Recorder(Observer):
    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None, BaseException | None]] = []
        self.seconds: list[float] = []

    def called(self, operation: str, queue: str | None, seconds: float, error: BaseException | None) -> None:
        self.calls.append((operation, queue, error))
        self.seconds.append(seconds)


class Quiet:
    """Notes when it is quiet."""

    def __init__(self) -> None:
        self.now = False

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self.now = True
        yield
        self.now = False


def test_a_call_is_told_with_its_time() -> None:
    """Its answer is passed on."""
    recorder = Recorder()
    assert 7 == CallReports(recorder, None).make("SendMessage", "q", lambda: 7)
    assert [("SendMessage", "q", None)] == recorder.calls
    assert all(seconds >= 0 for seconds in recorder.seconds)


def test_a_call_that_fails_is_told_too() -> None:
    """A try that failed is billed, and tells of an outage. Its error is passed on."""
    recorder, error = Recorder(), ConnectionError("away")

    def fail() -> None:
        raise error

    with pytest.raises(ConnectionError):
        CallReports(recorder, None).make("ReceiveMessage", None, fail)
    assert [("ReceiveMessage", None, error)] == recorder.calls


def test_calls_are_made_out_of_sight_of_the_sdks_tracers() -> None:
    """Where somebody tells of them already."""
    quiet = Quiet()
    assert CallReports(None, quiet).make("SendMessage", "q", lambda: quiet.now)
    assert not quiet.now


class Driver(Reporting):
    system = "aws_sqs"
    server = None

    def stats(self) -> int:
        return self._told("GetQueueAttributes", "q", lambda: 3)


def test_a_driver_tells_whom_it_is_told_to() -> None:
    """Nobody at first, and nobody again."""
    driver, recorder = Driver(), Recorder()
    assert isinstance(driver, ReportsCalls)
    assert 3 == driver.stats()
    driver.report_to(CallReports(recorder, None))
    assert 3 == driver.stats()
    driver.report_to(None)
    assert 3 == driver.stats()
    assert [("GetQueueAttributes", "q", None)] == recorder.calls
