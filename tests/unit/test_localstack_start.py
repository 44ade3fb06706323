"""`localstack/start.py` where LocalStack can't be started: what is missing is said, and nothing is left running."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from localstack import start


def test_without_uv_it_says_so(monkeypatch, tmp_path):
    """And leaves no half-made environment behind that would be taken for a whole one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "uv", None)
    with pytest.raises(start.Unavailable, match="pip install uv"):
        start.LocalStack().__enter__()
    assert [] == list(tmp_path.rglob("complete"))


def test_an_installation_that_fails_is_made_again(monkeypatch, tmp_path):
    """What the installer said is passed on, and the next start begins anew."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    installer = tmp_path / "installer"
    installer.write_text("#!/bin/sh\necho no such version >&2\nexit 1\n")
    installer.chmod(0o755)
    monkeypatch.setattr(start, "_uv", lambda: str(installer))
    for _ in range(2):
        with pytest.raises(start.Unavailable, match="no such version"):
            start.environment()


@pytest.mark.slow
def test_a_start_that_fails_shows_the_log(monkeypatch, tmp_path):
    """An environment without LocalStack in it: its end is noticed at once, and the log is kept and quoted."""
    monkeypatch.setattr(start, "environment", lambda: Path(sys.executable))
    localstack = start.LocalStack()
    with pytest.raises(start.Unavailable, match="ended at its start with code 1") as caught:
        localstack.__enter__()
    assert "No module named 'localstack" in str(caught.value)
    assert localstack.log.exists()
    localstack.keep_log = False
    localstack.stop()
    assert not localstack.log.exists()


@pytest.mark.slow
def test_it_ends_what_it_started(monkeypatch, tmp_path):
    """Its own process, by its id; the folder goes, too, as Ctrl-C is no failure."""
    monkeypatch.setattr(start, "environment", lambda: Path(sys.executable))
    monkeypatch.setattr(start, "__file__", str(tmp_path / "start.py"))
    (tmp_path / "run.py").write_text(
        "import http.server, os\n"
        "host, port = os.environ['GATEWAY_LISTEN'].split(':')\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "http.server.HTTPServer((host, int(port)), Handler).serve_forever()\n"
    )
    localstack = start.LocalStack()
    localstack.__enter__()
    process = localstack._process
    assert process is not None
    assert process.poll() is None
    localstack.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert process.returncode is not None
    assert not localstack.log.parent.exists()
