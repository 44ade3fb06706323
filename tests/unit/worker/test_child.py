"""What a child process of a worker is told by its parent."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cloudq.worker.child import _load
from cloudq.worker.frames import Hello


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
    hello = Hello(app_spec="childs_app", url="sqlite:///given.db", claim_check=given, log_format=None, log_level=0)
    try:
        app = _load(hello)
    finally:
        sys.modules.pop("childs_app", None)
    # A relative path is resolved once.
    assert (f"sqlite:///{tmp_path / 'given.db'}", given or "memory://own") == (app.url, app.runtime.claim_check_url)
