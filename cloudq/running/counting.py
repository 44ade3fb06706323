"""`metrics_of`: how what an app does is counted for Prometheus. The library for it is an extra, loaded only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cloudq.errors import ConfigurationError

if TYPE_CHECKING:
    from cloudq.app import App
    from cloudq.telemetry.prometheus import Metrics


def metrics_of(app: App) -> Metrics:
    """Has what the app does from now on counted. To be called before an edge is made, which asks who observes.

    Raises:
        ConfigurationError: prometheus-client isn't installed, or can't count where its environment tells it to.
    """
    from cloudq import __version__

    try:
        from cloudq.telemetry.prometheus import Metrics
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"serving metrics needs the module {error.name!r}, which isn't installed",
            hint="pip install 'cloudq[prometheus]'",
        ) from error
    try:
        metrics = Metrics(known=app.runtime.handlers, version=__version__)
        for task in app.tasks.values():
            for queue in task.queues:
                metrics.expect(queue, task.name)
    except OSError as error:  # under that variable it counts in files
        raise ConfigurationError(
            f"prometheus-client can't count in the folder of PROMETHEUS_MULTIPROC_DIR: {error}",
            hint="unset PROMETHEUS_MULTIPROC_DIR, as cloudq's metrics need no files, or make the folder",
        ) from error
    app.observe(metrics)
    return metrics
