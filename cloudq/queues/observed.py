"""`Observed`: who learns what an app's backend does, and how its drivers tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cloudq.core.call_reports import CallReports, ReportsCalls
from cloudq.core.driver import Driver
from cloudq.core.observing import Observer, composed
from cloudq.core.tracing import Tracing

# OpenTelemetry's names of those that it knows, as of its conventions 1.44; the others' are of the same form.
_SYSTEMS: Final[Mapping[str, str]] = {"sqs": "aws_sqs", "cloudtasks": "gcp_cloud_tasks"}


class Observed:
    """The observers of one app, as one, and what makes its spans.

    Attributes:
        observer: Told of what happens; `None`: nobody is.
        tracing: Makes the spans; `None`: none are made.
    """

    def __init__(self) -> None:
        self._observers: list[Observer] = []
        self.observer: Observer | None = None
        self.tracing: Tracing | None = None

    def add(self, observer: Observer) -> None:
        """Has another one told, too."""
        self._observers.append(observer)
        self.observer = composed(self._observers)

    def bind(self, driver: Driver, scheme: str | None) -> None:
        """Tells that a driver is in use, and has it tell of its calls.

        Args:
            driver: It.
            scheme: Of the URL that it was opened by; `None`: it was lent.
        """
        if self.observer is None and self.tracing is None:
            return
        system, server = _name_of(driver, scheme), None
        if isinstance(driver, ReportsCalls):
            system, server = driver.system, driver.server
            driver.report_to(CallReports(self.observer, None if self.tracing is None else self.tracing.quiet))
        for told in (self.observer, self.tracing):
            if told is not None:
                told.opened(system, server)

    def unbind(self, driver: Driver) -> None:
        """Has a driver that goes back to whom it was lent by tell nobody."""
        if isinstance(driver, ReportsCalls):
            driver.report_to(None)


def _name_of(driver: Driver, scheme: str | None) -> str:
    """Of a driver that doesn't say: its URL's scheme, else what its class is called."""
    if scheme is None:
        return type(driver).__name__.removesuffix("Driver").lower()
    return _SYSTEMS.get(scheme, scheme)
