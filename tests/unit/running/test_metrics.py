"""The page that Prometheus scrapes."""

from __future__ import annotations

import http.client

from cloudq.running.metrics import MetricsServer
from cloudq.telemetry.prometheus import Metrics


def test_the_page_is_served() -> None:
    """At /metrics, in the type that the client takes."""
    server = MetricsServer(("127.0.0.1", 0), Metrics(known=(), version="1"))
    server.start()
    connection = http.client.HTTPConnection(*server.address, timeout=60)
    try:
        connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text"})
        response = connection.getresponse()
        assert 200 == response.status
        assert str(response.getheader("Content-Type")).startswith("application/openmetrics-text")
        assert b"cloudq_worker_info{" in response.read()
    finally:
        connection.close()
        server.stop()
