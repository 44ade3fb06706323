"""`OfNamespace`: what a driver of Service Bus says of itself where its calls are reported."""

from __future__ import annotations

from cloudq.core.call_reports import Reporting


class OfNamespace(Reporting):
    """A driver of one namespace."""

    _namespace: str

    @property
    def system(self) -> str:
        """OpenTelemetry's name of Service Bus."""
        return "servicebus"

    @property
    def server(self) -> str | None:
        """The namespace, unless the URL left it to a connection string."""
        return self._namespace or None
