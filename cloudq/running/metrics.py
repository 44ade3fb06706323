"""`MetricsServer`: `/metrics` over HTTP, for Prometheus."""

from __future__ import annotations

from functools import partial

from cloudq.running.page_server import Answer, PageServer
from cloudq.telemetry.prometheus import Metrics


class MetricsServer(PageServer):
    """Serves them on threads of its own.

    Args:
        address: `(host, port)`; port 0 takes a free one.
        metrics: What is served.

    Raises:
        ConfigurationError: The address can't be listened on.
    """

    def __init__(self, address: tuple[str, int], metrics: Metrics) -> None:
        super().__init__(address, {"/metrics": partial(_answer, metrics)}, what="the metrics", name="cloudq-metrics")


def _answer(metrics: Metrics, accept: str) -> Answer:
    content_type, body = metrics.page(accept)
    return Answer(200, body, content_type)
