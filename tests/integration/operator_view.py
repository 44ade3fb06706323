"""What an operator sees of a worker in trouble: its log, its metrics, its pages, and what the commands say."""

from __future__ import annotations

import http.client
import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cloudq.app import App
from cloudq.cli.failures import exit_code
from cloudq.core.driver import QueueStats
from cloudq.errors import CloudqError
from cloudq.testing.clock import FakeClock
from tests.unit.worker.fakes import Running, Unreliable, until

ANY_PORT = ("127.0.0.1", 0)
STEP = timedelta(seconds=1)
ZERO = timedelta(0)


class Page(NamedTuple):
    """A health page."""

    status: int
    problems: list[str]
    queues: dict[str, str]


class Desk:
    """Looks at one worker. Time passes only by `pass_time`."""

    def __init__(self, worker: Running, app: App, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
        self._worker = worker
        self._app = app
        self._clock = clock
        self._caplog = caplog
        until(lambda: "metrics on http" in caplog.text)  # the last that is said at the start

    def said(self, *, least: int = 0) -> list[tuple[str, str]]:
        """What the log says since it was asked last: level and text, of what is no detail.

        Args:
            least: Waited for are so many lines: what is seen elsewhere may be logged a moment later.
        """
        until(lambda: len(self._said()) >= least, what=f"{least} lines")
        said = self._said()
        self._caplog.clear()
        return said

    def _said(self) -> list[tuple[str, str]]:
        return [
            (record.levelname, record.getMessage())
            for record in self._caplog.records
            if record.name.startswith("cloudq")
            and record.levelno >= logging.INFO
            # Which some releases of Python are warned of, whatever happens.
            and "CPython issue 130279" not in record.getMessage()
        ]

    def page(self, path: str = "/readyz") -> Page:
        """A page as a probe gets it."""
        body = self._get(self._worker.worker.health_address, path)
        said = json.loads(body[1])
        return Page(body[0], said["problems"], said["queues"])

    def metrics(self, name: str) -> dict[tuple[str, ...], float]:
        """The series of a metric, by the values of their labels in the order of the labels' names."""
        text = self._get(self._worker.worker.metrics_address, "/metrics")[1].decode()
        return {
            tuple(value for _, value in sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }

    def outages(self) -> set[tuple[str, ...]]:
        """Kind and queue of what fails now, by the metrics."""
        return {labels for labels, value in self.metrics("cloudq_outage").items() if value}

    def stats(self, queue: str = "q") -> QueueStats | int:
        """What `cloudq stats` would show, or its exit code."""
        try:
            return self._app.queue(queue).stats()
        except CloudqError as error:
            return exit_code(error)

    def pass_time(self, span: timedelta) -> None:
        """Lets time pass, a second at a time, and the worker look after itself as it does each second."""
        ends = self._clock.elapsed() + span
        while self._clock.elapsed() < ends:
            self._clock.advance(min(STEP, span))
            self._worker.worker._look_after()

    def wait_for(self, seen: Callable[[], object]) -> None:
        """Waits, in real time, for what follows from what has happened."""
        until(seen)

    def pass_time_until(self, seen: Callable[[], object], *, most: timedelta) -> timedelta:
        """Lets time pass until something is seen, which is to be so once `most` has passed.

        Returns how long that took, in steps of a second.
        """
        began = self._clock.elapsed()
        while not _soon(seen):
            late = self._clock.elapsed() - began - most
            # What that much time brings has begun: a busy machine takes more than a moment to end it. And a thread
            # that looked at the clock just before a step waits for a step more.
            assert late < 6 * STEP, f"not within {most}"
            if late >= ZERO and _soon(seen, within=10):
                break
            self.pass_time(STEP)
        return self._clock.elapsed() - began

    @staticmethod
    def _get(address: tuple[str, int] | None, path: str) -> tuple[int, bytes]:
        assert address is not None
        connection = http.client.HTTPConnection(*address, timeout=60)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def _soon(seen: Callable[[], object], within: float = 0.05) -> bool:
    """Whether it is seen within a moment: what follows from a step of the clock happens in other threads."""
    try:
        until(seen, within=within)
    except AssertionError:
        return False
    return True


class Lost(Unreliable):
    """A backend that can be lost whole."""

    def stats(self, queue: str) -> QueueStats:
        self._enter("stats")
        return super().stats(queue)

    def lose(self, error: Exception) -> None:
        """From now on nothing of it answers."""
        self.failing = dict.fromkeys(("send", "receive", "settle", "extend", "stats"), error)

    def find(self) -> None:
        """It answers again."""
        self.failing = {}
