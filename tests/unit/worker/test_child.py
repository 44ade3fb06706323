"""A child process of a worker: what its parent tells it, and what becomes of what it runs."""

from __future__ import annotations

import io
import logging
import sys
import threading
from pathlib import Path

import pytest

from cloudq.app import App
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.outcome import DeadLettered, Retried
from cloudq.core.policy import RetryPolicy
from cloudq.worker.child import _ChildRunner, _load
from cloudq.worker.frames import Hello
from tests.unit.worker.fakes import NoNotes, NoText, delivery


@pytest.mark.parametrize("given", [None, "memory://by-hand?threshold=2000"])
def test_a_child_works_with_its_parents_backend_and_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    """Also where they were given to the parent by hand, rather than by the environment or the app's own module."""
    (tmp_path / "childs_app.py").write_text(
        "import cloudq\napp = cloudq.App('memory://', claim_check='memory://own')\n"
        "@app.task('t')\ndef t() -> None: ...\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    hello = Hello(
        app_spec="childs_app",
        url="sqlite:///given.db",
        claim_check=given,
        store="redis://keys",
        log_format=None,
        log_level=0,
    )
    try:
        app = _load(hello)
    finally:
        sys.modules.pop("childs_app", None)
    assert "redis://keys" == app.runtime.stores.url
    # A relative path is resolved once.
    assert (f"sqlite:///{tmp_path / 'given.db'}", given or "memory://own") == (app.url, app.runtime.claim_check_url)


def test_a_child_imports_the_app_from_its_parents_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's, where the worker was started in one below it."""
    (tmp_path / "projects_app.py").write_text(
        "import cloudq\napp = cloudq.App('memory://')\n@app.task('t')\ndef t() -> None: ...\n"
    )
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    monkeypatch.setattr(sys, "path", list(sys.path))
    hello = Hello(
        app_spec="projects_app",
        app_folder=str(tmp_path),
        url="memory://",
        claim_check=None,
        log_format=None,
        log_level=0,
    )
    try:
        assert ["t"] == list(_load(hello).tasks)
    finally:
        sys.modules.pop("projects_app", None)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("error", "policy", "reason"),
    [
        (NoText(), RetryPolicy(), "NoText: <its text is unreadable: SystemExit>"),
        (NoNotes("x"), RetryPolicy(), "NoNotes: x"),
        (ValueError("x"), RetryPolicy(retry=lambda state: sys.exit(1)), "the retry policy raised SystemExit: 1"),
    ],
    ids=["text", "notes", "retry"],
)
def test_whatever_the_apps_code_raises_the_child_lives_on(
    error: Exception, policy: RetryPolicy, reason: str, is_async: bool
) -> None:
    """It costs the delivery an attempt and no process."""
    app = App("memory://", retry=policy)

    @app.task("noop")
    def noop() -> None:
        raise error

    @app.task("anoop")
    async def anoop() -> None:
        raise error

    runner = _ChildRunner(app)
    for _ in range(2):
        one = delivery(SYSTEM_CLOCK, task="anoop" if is_async else "noop")
        outcome = runner.run(one, threading.Event())
        assert isinstance(outcome, (Retried, DeadLettered))
        assert reason == outcome.reason
    if runner._loop is not None:
        runner._loop.close()


def test_a_child_logs_as_its_app_redacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines go to the worker's own stderr."""
    (tmp_path / "secretive_app.py").write_text(
        "import cloudq\napp = cloudq.App('memory://', redact=lambda text: text.replace('tenant-7', 'T'))\n"
        "@app.task('t')\ndef t() -> None: ...\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "stderr", written := io.StringIO())
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers.clear()
    hello = Hello(
        app_spec="secretive_app", url="memory://", claim_check=None, log_format="text", log_level=logging.INFO
    )
    try:
        _load(hello)
        logging.getLogger("shop").info("of tenant-7")
    finally:
        sys.modules.pop("secretive_app", None)
        root.handlers[:], root.level = handlers, level
    assert written.getvalue().endswith(" INFO shop: of T\n")
