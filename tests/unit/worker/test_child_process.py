"""A child process: what it says is taken for the delivery that it was said of."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.outcome import ACKED, Retried
from cloudq.running.held import HeldLease
from cloudq.telemetry.reported import CallCount, Report, SentCount
from cloudq.worker import interpreter
from cloudq.worker.child_process import ChildProcess
from cloudq.worker.frames import FrameTooLarge, Hello
from tests.unit.worker.fakes import delivery

HELLO = Hello(app_spec=None, url="memory://", claim_check=None, log_format=None, log_level=30)
REPORT = Report(sent=[SentCount("q", "t", "stored", 2)], calls=[CallCount("Send", "q", False, 1, 0.5)])
# Says of the first delivery twice that it is done, of each later one how large it is; and what it has counted.
SPEAKER = """
import socket, sys
from datetime import timedelta
from cloudq.core.outcome import ACKED, Retried
from cloudq.telemetry.reported import CallCount, Report, SentCount
from cloudq.worker.frames import Channel, Done, Ready, RunRequest
from msgspec.structs import replace

channel = Channel(socket.socket(fileno=int(sys.argv[1])))
channel.to_child()
channel.send(Ready())
first = None
while (request := channel.to_child()) is not None:
    if first is None:
        first = request.number
        channel.send(Done.of(ACKED, first))
        channel.send(Done.of(ACKED, first))
    else:
        size = str(len(request.body))
        report = Report(sent=[SentCount("q", "t", "stored", 2)], calls=[CallCount("Send", "q", False, 1, 0.5)])
        channel.send(replace(Done.of(Retried(delay=timedelta(0), reason=size), request.number), report=report))
"""


@pytest.fixture
def reports() -> list[Report]:
    """What the child has counted, as it is passed on."""
    return []


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reports: list[Report]) -> Iterator[ChildProcess]:
    script = tmp_path / "speaker.py"
    script.write_text(SPEAKER)
    monkeypatch.setattr(interpreter, "command", lambda descriptor: [sys.executable, str(script), str(descriptor)])
    child = ChildProcess(HELLO, reports.append)
    yield child
    child.leave()


def held(body: bytes | None = None) -> HeldLease:
    given = delivery(SYSTEM_CLOCK)
    given = given if body is None else replace(given, body=body)
    return HeldLease(given, SYSTEM_CLOCK.elapsed(), extendable=True)


def test_what_is_said_twice_of_one_delivery_ends_no_other(child: ChildProcess) -> None:
    """The next delivery has its own outcome: a second word about the one before isn't taken for it."""
    first, second = held(), held()
    assert ACKED == child.run(first, None)
    outcome = child.run(second, None)
    assert isinstance(outcome, Retried)
    assert str(len(second.delivery.body)) == outcome.reason


def test_what_a_child_has_counted_is_passed_on(child: ChildProcess, reports: list[Report]) -> None:
    """With the end of the task that it came with, once."""
    child.run(held(), None)
    assert [] == reports
    child.run(held(), None)
    assert [REPORT] == reports


def test_counts_that_cant_be_taken_cost_no_task_its_end(
    child: ChildProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the outcome stands."""
    monkeypatch.setattr(child, "_reported", lambda _: 1 / 0)
    child.run(held(), None)
    assert isinstance(child.run(held(), None), Retried)
    assert "has counted is left out" in caplog.text


def test_a_body_of_many_mebibytes_reaches_the_child(child: ChildProcess) -> None:
    """A body beyond 16 MiB, which SQLite and Premium namespaces of Service Bus take, is run as any other."""
    assert ACKED == child.run(held(), None)
    outcome = child.run(held(bytes(17 * 1024 * 1024)), None)
    assert isinstance(outcome, Retried)
    assert str(17 * 1024 * 1024) == outcome.reason


def test_what_is_too_large_for_a_child_does_it_no_harm(child: ChildProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said, and the child runs the next delivery."""
    assert ACKED == child.run(held(), None)
    with monkeypatch.context() as patch:
        patch.setattr("cloudq.worker.frames.MAX_FRAME", 1_000)
        with pytest.raises(FrameTooLarge):
            child.run(held(bytes(2_000)), None)
    assert child.alive
    assert isinstance(child.run(held(), None), Retried)
