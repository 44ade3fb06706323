"""`cloudq worker --reload`: a worker that is replaced when code changes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cloudq.cli.reloading import Supervisor, end, supervise
from cloudq.errors import ConfigurationError

TERM = signal.SIGTERM


class Worker:
    """A process that ends at the signal that the test says, or never by one."""

    def __init__(self, ends_at: int | None = 1, code: int | None = None) -> None:
        self.signals: list[int] = []
        self.killed = False
        self._ends_at = ends_at
        self.code = code

    def poll(self) -> int | None:
        return self.code

    def wait(self, timeout: float | None = None) -> int:
        if self.code is None:
            raise subprocess.TimeoutExpired("worker", timeout or 0)
        return self.code

    def send_signal(self, number: int, /) -> None:
        self.signals.append(number)
        if len(self.signals) == self._ends_at:
            self.code = 0

    def kill(self) -> None:
        self.killed = True
        self.code = -9


@pytest.fixture
def workers() -> list[Worker]:
    return []


@pytest.fixture
def supervisor(workers: list[Worker]) -> Supervisor:
    def start() -> Worker:
        workers.append(Worker())
        return workers[-1]

    return Supervisor(start)


def test_a_change_replaces_the_worker(
    supervisor: Supervisor, workers: list[Worker], capsys: pytest.CaptureFixture[str]
) -> None:
    """The old one ends as at a SIGTERM, before the new one starts: they would share nothing, but its log is one."""

    def changes() -> Iterator[list[str]]:
        yield []
        assert 1 == len(workers)
        yield ["a.py", "b.py", "c.py", "d.py"]
        assert [[TERM], []] == [one.signals for one in workers]
        workers[-1].code = 0
        yield []

    assert 0 == supervisor.run(changes())
    assert "reload: a.py, b.py, c.py and 1 more changed\n" == capsys.readouterr().err


def test_a_worker_that_fails_waits_for_a_change(
    supervisor: Supervisor, workers: list[Worker], capsys: pytest.CaptureFixture[str]
) -> None:
    """A module that doesn't import is being written: that is said once, and the next change has it tried again."""

    def changes() -> Iterator[list[str]]:
        workers[0].code = 2
        yield []
        yield []
        yield ["shop.py"]
        assert 2 == len(workers)
        workers[1].code = 0
        yield []

    assert 0 == supervisor.run(changes())
    assert 1 == capsys.readouterr().err.count("exit code 2")


def test_a_signal_ends_both(supervisor: Supervisor, workers: list[Worker]) -> None:
    """The worker gets it, unless its terminal has sent it there as well; its exit code is that of both."""

    def changes() -> Iterator[list[str]]:
        yield []
        supervisor.stop(signal.SIGINT, forward=False)
        assert [] == workers[0].signals
        supervisor.stop(TERM, forward=True)
        workers[0].code = 3
        yield ["shop.py"]
        raise AssertionError("it goes on")

    assert 3 == supervisor.run(changes())
    assert [[TERM]] == [one.signals for one in workers]


def test_a_signal_while_a_worker_ends_starts_no_other_one(supervisor: Supervisor, workers: list[Worker]) -> None:
    """Which would never hear of it."""

    class Ending(Worker):
        """Its supervisor gets a signal while it ends."""

        def wait(self, timeout: float | None = None) -> int:
            if timeout is not None:
                supervisor.stop(TERM, forward=True)
            return super().wait(timeout)

    def changes() -> Iterator[list[str]]:
        workers[0].__class__ = Ending
        yield ["shop.py"]
        raise AssertionError("it goes on")

    assert 0 == supervisor.run(changes())
    assert 1 == len(workers)


@pytest.mark.parametrize("forward", [True, False], ids=["to the supervisor", "to its terminal"])
@pytest.mark.parametrize("at", [1, 2])
def test_a_signal_while_a_worker_is_started_reaches_it(at: int, forward: bool) -> None:
    """Once: a second one would have it drop what runs. What a terminal sends it may have missed."""
    workers: list[Worker] = []

    def start() -> Worker:
        if len(workers) == at - 1:
            supervisor.stop(TERM, forward=forward)
        workers.append(Worker())
        return workers[-1]

    supervisor = Supervisor(start)
    assert 0 == supervisor.run(iter([["a.py"]] * (at - 1) + [[]]))
    assert at == len(workers)
    assert [TERM] == workers[-1].signals


@pytest.mark.parametrize(("ends_at", "signals", "killed"), [(1, 1, False), (2, 2, False), (None, 2, True)])
def test_a_worker_is_ended_in_bounded_time(ends_at: int | None, signals: int, killed: bool) -> None:
    """By a second SIGTERM, which gives everything back at once, and by force, if it must be."""
    worker = Worker(ends_at)
    end(worker)
    assert (signals, killed) == (len(worker.signals), worker.killed)


def test_without_watchfiles_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that brings it."""
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(ConfigurationError, match="watchfiles") as caught:
        supervise(["worker", "--reload"], None)
    assert "cloudq[reload]" in (caught.value.hint or "")
