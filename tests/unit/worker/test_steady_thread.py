"""The thread that looks after something: what a look raises, and its end."""

from __future__ import annotations

import threading

import pytest

from cloudq.worker import steady_thread
from cloudq.worker.steady_thread import SteadyThread
from tests.unit.worker.fakes import until


class Looking(SteadyThread):
    """Counts its looks, which fail as often as they are to, and then waits until it is stopped."""

    def __init__(self, *failures: BaseException) -> None:
        self.changed = threading.Condition()
        super().__init__("cloudq-test-looks", changed=self.changed, trouble="looking failed")
        self.failures = list(failures)
        self.looks = 0

    def _look(self) -> None:
        with self.changed:
            if self._stopped:
                return
            self.looks += 1
            if self.failures:
                raise self.failures.pop(0)
            self.changed.wait(60)

    def wake(self) -> None:
        with self.changed:
            self.changed.notify_all()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady_thread, "PAUSE_SECONDS", 0.001)


def test_what_looks_raise_is_logged_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """Also what is no Exception: without this thread leases end, and nothing that waits starts."""
    looking = Looking(ValueError("first"), SystemExit(1), KeyboardInterrupt())
    looking.start()
    until(lambda: looking.looks == 4)
    assert looking.alive
    assert 1 == caplog.text.count("looking failed")
    assert "first" in caplog.text
    looking.stop()
    until(lambda: not looking.alive)


def test_a_look_that_fails_later_is_logged_anew(caplog: pytest.LogCaptureFixture) -> None:
    """Once one has gone well, the next failure is news."""
    looking = Looking(ValueError("first"))
    looking.start()
    until(lambda: looking.looks == 2)
    looking.failures.append(ValueError("second"))

    def woken() -> bool:
        looking.wake()  # it may not have waited yet
        return looking.looks >= 4

    until(woken)
    assert 2 == caplog.text.count("looking failed")
    looking.stop()
    until(lambda: not looking.alive)


def test_stop_ends_it_though_it_waits() -> None:
    looking = Looking()
    looking.start()
    until(lambda: looking.looks == 1)
    looking.stop()
    until(lambda: not looking.alive)
    assert 1 == looking.looks
