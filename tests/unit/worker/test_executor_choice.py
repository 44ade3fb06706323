"""What runs a worker's tasks."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from cloudq.app import App
from cloudq.errors import ConfigurationError
from cloudq.worker.children import ChildExecutor
from cloudq.worker.executors import ThreadExecutor
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings

ANY_PORT = ("127.0.0.1", 0)


def app_at(url: str) -> App:
    app = App(url)
    app.task("t")(lambda: None)
    return app


def test_threads_run_tasks_unless_processes_are_asked_for(tmp_path: Path) -> None:
    """By the settings alone."""
    app = app_at(f"sqlite:///{tmp_path}/q.db")
    assert isinstance(Worker(app)._executor, ThreadExecutor)
    assert isinstance(Worker(app, WorkerSettings(processes=2))._executor, ChildExecutor)
    app.close()


@pytest.mark.parametrize("metrics", [None, ANY_PORT])
def test_children_count_only_for_metrics(tmp_path: Path, metrics: tuple[str, int] | None) -> None:
    """Where nobody scrapes their parent, they count nothing."""
    app = app_at(f"sqlite:///{tmp_path}/q.db")
    executor = cast(ChildExecutor, Worker(app, WorkerSettings(processes=2, metrics=metrics))._executor)
    assert executor._hello.reports is (metrics is not None)
    app.close()


def test_children_that_would_see_other_queues_are_refused() -> None:
    """A backend in memory is this process's alone."""
    app = app_at("memory://")
    with pytest.raises(ConfigurationError, match="lives in one process"):
        Worker(app, WorkerSettings(processes=2))
    app.close()
