"""`Calls`: the one way by which this driver calls AWS. Bounded in time, and every failure is an error of cloudq."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final

from cloudq.aws_wire.bounded import Within, left
from cloudq.aws_wire.instrumentations import past_opentelemetry
from cloudq.core.call_reports import CallReports
from cloudq.drivers.sqs.client import SqsClient
from cloudq.drivers.sqs.faults import translate
from cloudq.drivers.sqs.routes import Route
from cloudq.errors import BackendUnavailable

_NO_WAIT: Final = timedelta(0)


class Calls:
    """Makes calls, each by the client of its queue.

    Args:
        route: Gives the client to call.
        timeout: How long one call may take.

    Attributes:
        reports: Where each is reported; `None`: nowhere.
    """

    def __init__(self, route: Route, timeout: timedelta) -> None:
        self._route = route
        self.timeout = timeout
        self.reports: CallReports | None = None

    @property
    def client(self) -> SqsClient:
        """This process's client for queues that are named by their names."""
        return self._route.own()

    def client_for(self, queue: str) -> SqsClient:
        """This process's client for a queue.

        Raises:
            UnsupportedError: The queue is named by a URL that isn't on a host of SQS.
        """
        return self._route.client_for(queue)

    def all_within(self) -> Within:
        """`with calls.all_within():` the calls in it take no longer together than one may."""
        return Within(self.timeout)

    def make(
        self, operation: str, queue: str, /, *, wait: timedelta = _NO_WAIT, **parameters: Any
    ) -> Mapping[str, Any]:
        """Makes a call; returns what botocore made of the answer.

        Args:
            operation: The client's method.
            queue: Whose client makes it; also for the errors' texts.
            wait: How long the service may hold the call open.
            parameters: The call's own.

        Raises:
            CloudqError: It failed, or would begin too late.
        """
        rest = left()
        if rest is None or wait:
            with Within(self.timeout + wait):
                return self._make(operation, queue, parameters)
        if rest <= 0:
            raise BackendUnavailable(f"queue {queue!r}: no time was left to call Amazon SQS")
        return self._make(operation, queue, parameters)  # the method's own time, of which less than a call's is left

    def _make(self, operation: str, queue: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            method = getattr(self._route.client_for(queue), operation)
            if self.reports is None:
                answer: Mapping[str, Any] = method(**parameters)
            else:
                answer = self._make_told(self.reports, method, operation, queue, parameters)
        except Exception as error:
            meant = translate(error, queue)
            if meant is error:
                raise
            raise meant from error
        return answer

    @staticmethod
    def _make_told(
        reports: CallReports, method: Any, operation: str, queue: str, parameters: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        if reports.quiet is not None:
            method = past_opentelemetry(method)
        name = operation.title().replace("_", "")
        answer: Mapping[str, Any] = reports.make(name, queue, partial(method, **parameters))
        return answer
