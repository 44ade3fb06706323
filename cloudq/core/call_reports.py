"""`CallReports`: a driver's calls of its service, for what counts them; and the drivers that report them."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from cloudq.core.observing import Observer
    from cloudq.core.tracing import Quiet

T = TypeVar("T")


class CallReports:
    """Where a driver's calls are told.

    Args:
        observer: Told of each by `Observer.called`; `None`: nobody is.
        quiet: Keeps those that trace the SDK from seeing it, too; `None`: they may.

    Attributes:
        quiet: The same.
    """

    __slots__ = ("_observer", "quiet")

    def __init__(self, observer: Observer | None, quiet: Quiet | None) -> None:
        self._observer = observer
        self.quiet = quiet

    def make(self, operation: str, queue: str | None, call: Callable[[], T]) -> T:
        """Makes a call, and tells of it.

        Args:
            operation: The service's own name of it.
            queue: Whose it is.
            call: Makes it. What it raises is raised.
        """
        began = monotonic()
        try:
            if self.quiet is None:
                answer = call()
            else:
                with self.quiet():
                    answer = call()
        except BaseException as error:
            if self._observer is not None:
                self._observer.called(operation, queue, monotonic() - began, error)
            raise
        if self._observer is not None:
            self._observer.called(operation, queue, monotonic() - began, None)
        return answer


@runtime_checkable
class ReportsCalls(Protocol):
    """What a driver has besides that tells of its calls. A driver without it works as well, unseen."""

    @property
    def system(self) -> str:
        """The name of its service; see `Observer.opened`."""
        ...

    @property
    def server(self) -> str | None:
        """The host that it calls, where it is one."""
        ...

    def report_to(self, reports: CallReports | None) -> None:
        """Tells there of each call from now on; `None`: nowhere."""
        ...


class Reporting:
    """The part of a driver that keeps where its calls are told, and makes those that are."""

    _reports: CallReports | None = None

    def report_to(self, reports: CallReports | None) -> None:
        """See `ReportsCalls`."""
        self._reports = reports

    def _told(self, operation: str, queue: str | None, call: Callable[[], T]) -> T:
        return call() if self._reports is None else self._reports.make(operation, queue, call)
