"""`Told`: a client of Cloud Tasks whose calls are reported."""

from __future__ import annotations

from functools import partial
from typing import Any

from google.cloud.tasks_v2 import CloudTasksClient

from cloudq.core.call_reports import CallReports


class Told:
    """Has what the client has; each of its methods that is called is one request, by the service's name of it.

    Args:
        client: The client.
        reports: Where its calls are told.
        queue: Whose they are.
    """

    def __init__(self, client: CloudTasksClient, reports: CallReports, queue: str) -> None:
        self._client = client
        self._reports = reports
        self._queue = queue

    def __getattr__(self, name: str) -> Any:
        """A method that tells; the client's own attribute, where it is no method."""
        found = getattr(self._client, name)
        return partial(self._call, name, found) if callable(found) else found

    def _call(self, name: str, method: Any, /, **arguments: Any) -> Any:
        operation = name.title().replace("_", "")
        return self._reports.make(operation, self._queue, partial(method, **arguments))
