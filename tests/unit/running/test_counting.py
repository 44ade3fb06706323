"""How what an app does is counted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import values

from cloudq.app import App
from cloudq.errors import ConfigurationError
from cloudq.running.counting import metrics_of
from tests.imports import forget


@pytest.fixture
def app() -> Iterator[App]:
    app = App("memory://")
    app.task("mail", queue="emails")(lambda: None)
    yield app
    app.close()


def test_what_the_app_does_is_counted(app: App) -> None:
    """From then on; its tasks have their series from the beginning."""
    metrics = metrics_of(app)
    app.send("mail")
    page = metrics.page("")[1].decode()
    assert 'cloudq_messages_sent_total{queue="emails",result="stored",task="mail"} 1.0' in page
    assert 'cloudq_tasks_ended_total{outcome="dead_lettered",queue="emails",task="mail"} 0.0' in page


def test_without_the_library_it_says_what_to_install(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    forget(monkeypatch, "cloudq.telemetry.prometheus")
    with pytest.raises(ConfigurationError, match="prometheus_client") as caught:
        metrics_of(app)
    assert "pip install 'cloudq[prometheus]'" == caught.value.hint


def test_a_folder_for_counts_that_is_not_there_is_named(
    app: App, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """prometheus-client's own error names a file that nobody knows."""
    missing = str(tmp_path / "missing")
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", missing)
    monkeypatch.setattr(values, "ValueClass", values.MultiProcessValue())
    with pytest.raises(ConfigurationError, match="in the folder of PROMETHEUS_MULTIPROC_DIR") as caught:
        metrics_of(app)
    assert missing in caught.value.message
